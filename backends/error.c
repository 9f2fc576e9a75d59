/* SPDX-License-Identifier: MIT */
/*
 * How a backend words the failure of a host call.
 */

#include "backends/error.h"

void viommui_set_call_error(GError **error, ViommuResult result, int err,
                            const char *format, va_list args)
{
    g_autofree char *what = g_strdup_vprintf(format, args);

    g_set_error(error, VIOMMU_ERROR, viommui_result_to_error(result), "%s: %s", what,
                g_strerror(err));
}
