/* SPDX-License-Identifier: MIT */
/*
 * The state of a vIOMMU as bytes.
 *
 * Up the path: the vendors' save and restore. Beside: core/registers.h.
 */

#include "core/state.h"

#include "core/registers.h"

#include <string.h>

typedef struct {
    char magic[8];
    guint32 version;
    guint32 size;
} Header;

G_STATIC_ASSERT(sizeof(Header) == 16);

static guint32 size_of_version(const ViommuiStateFormat *format, guint32 version)
{
    guint32 size = sizeof(Header);

    for (gsize i = 0; i < format->n_fields; i++)
        if (format->fields[i].since <= version)
            size += format->fields[i].size;
    return size;
}

GBytes *viommui_state_save(const ViommuiStateFormat *format, const void *registers)
{
    Header header = {.version = GUINT32_TO_LE(format->version),
                     .size = GUINT32_TO_LE(size_of_version(format, format->version))};
    GByteArray *bytes = g_byte_array_new();

    memcpy(header.magic, format->magic, sizeof header.magic);
    g_byte_array_append(bytes, (const guint8 *)&header, sizeof header);
    for (gsize i = 0; i < format->n_fields; i++) {
        const ViommuiStateField *field = &format->fields[i];
        guint64 value =
            GUINT64_TO_LE(viommui_register_load(registers, field->at, field->size));

        g_byte_array_append(bytes, (const guint8 *)&value, field->size);
    }
    return g_byte_array_free_to_bytes(bytes);
}

static gboolean check_header(const ViommuiStateFormat *format, const guint8 *data,
                             gsize size, guint32 *ret_version, GError **error)
{
    guint32 expected;
    Header header;

    if (size < sizeof header) {
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_INVALID,
                    "a state of %" G_GSIZE_FORMAT " bytes has no whole header", size);
        return FALSE;
    }
    memcpy(&header, data, sizeof header);
    *ret_version = GUINT32_FROM_LE(header.version);
    if (memcmp(header.magic, format->magic, sizeof header.magic) != 0) {
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_INVALID,
                    "this is not the state of %s", format->what);
        return FALSE;
    }
    if (*ret_version == 0 || *ret_version > format->version) {
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_UNSUPPORTED,
                    "the state has version %u, and this library knows 1 to %u",
                    *ret_version, format->version);
        return FALSE;
    }
    expected = size_of_version(format, *ret_version);
    if (size != expected || GUINT32_FROM_LE(header.size) != expected) {
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_INVALID,
                    "a state of version %u has a size of %u bytes; this one says %u and "
                    "has %" G_GSIZE_FORMAT,
                    *ret_version, expected, GUINT32_FROM_LE(header.size), size);
        return FALSE;
    }
    return TRUE;
}

gboolean viommui_state_load(const ViommuiStateFormat *format, GBytes *state,
                            void *registers, GError **error)
{
    gsize size;
    const guint8 *data = g_bytes_get_data(state, &size);
    guint32 version;

    if (!check_header(format, data, size, &version, error))
        return FALSE;
    data += sizeof(Header);
    for (gsize i = 0; i < format->n_fields; i++) {
        const ViommuiStateField *field = &format->fields[i];
        guint64 value = 0;

        if (field->since > version)
            continue;
        memcpy(&value, data, field->size);
        viommui_register_store(registers, field->at, field->size, GUINT64_FROM_LE(value));
        data += field->size;
    }
    return TRUE;
}
