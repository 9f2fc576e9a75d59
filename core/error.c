/* SPDX-License-Identifier: MIT */
/*
 * Error classes and their names, for both the results of the data path and the GErrors of
 * set-up calls.
 */

#include "private.h"

GQuark viommu_error_quark(void)
{
    return g_quark_from_static_string("viommu-error-quark");
}

const char *viommu_result_name(ViommuResult result)
{
    switch (result) {
    case VIOMMU_OK:
        return "ok";
    case VIOMMU_GUEST_INVALID:
        return "guest invalid";
    case VIOMMU_UNSUPPORTED:
        return "unsupported";
    case VIOMMU_TRANSIENT:
        return "transient";
    case VIOMMU_HOST_GONE:
        return "host gone";
    }
    return "unknown";
}

ViommuResult viommui_error_to_result(const GError *error)
{
    switch ((ViommuError)error->code) {
    case VIOMMU_ERROR_INVALID:
        return VIOMMU_GUEST_INVALID;
    case VIOMMU_ERROR_UNSUPPORTED:
        return VIOMMU_UNSUPPORTED;
    case VIOMMU_ERROR_TRANSIENT:
        return VIOMMU_TRANSIENT;
    case VIOMMU_ERROR_HOST_GONE:
        break;
    }
    return VIOMMU_HOST_GONE;
}

ViommuError viommui_result_to_error(ViommuResult result)
{
    switch (result) {
    case VIOMMU_UNSUPPORTED:
        return VIOMMU_ERROR_UNSUPPORTED;
    case VIOMMU_TRANSIENT:
        return VIOMMU_ERROR_TRANSIENT;
    case VIOMMU_HOST_GONE:
        return VIOMMU_ERROR_HOST_GONE;
    case VIOMMU_OK:
    case VIOMMU_GUEST_INVALID:
        break;
    }
    return VIOMMU_ERROR_INVALID;
}
