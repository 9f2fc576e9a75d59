/* SPDX-License-Identifier: MIT */
#ifndef TESTS_VTD_ORDERS_H
#define TESTS_VTD_ORDERS_H

#include "vtd-world.h"

/*
 * What a tidy guest of vtd-world.h tells its unit of: all that it has changed and that can
 * be met, and no more. An untidy one says nothing here.
 */

/* What the unit is to know once all that is pending is complete. */
Model orders_expected(const World *world);
/* Of a page, with the smallest thing that helps; *next is what is expected, and follows. */
void orders_tell_of_pages(World *world, Model *next, guint table, guint page);
/* Of whatever differs from what is expected. */
void orders_tell_of_spaces(World *world, Model *next);
void orders_tell_of_change(World *world);

#endif
