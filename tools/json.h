/* SPDX-License-Identifier: MIT */
#ifndef TOOLS_JSON_H
#define TOOLS_JSON_H

/* Pieces of JSON on standard output. */
void json_print_string(const char *text);
/* "name": "value" */
void json_print_member(const char *name, const char *value);

#endif
