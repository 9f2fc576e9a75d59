/* SPDX-License-Identifier: MIT */
#ifndef VIOMMUI_BACKENDS_ERROR_H
#define VIOMMUI_BACKENDS_ERROR_H

#include "core/backend.h"

#include <stdarg.h>

/* Set the error of a host call that failed with this errno (> 0), which is of this class.
 */
void viommui_set_call_error(GError **error, ViommuResult result, int err,
                            const char *format, va_list args) G_GNUC_PRINTF(4, 0);

#endif
