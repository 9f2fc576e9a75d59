/* SPDX-License-Identifier: MIT */
/*
 * State saved and restored: a header, then the registers, all little-endian.
 *
 *   magic    8 bytes  "viommuS3"
 *   version  4 bytes  of the list of fields
 *   size     4 bytes  of all of it
 *   fields            in the order of the list, each as wide as its register
 *
 * A field knows the version that brought it, so that a state of any version up to our own
 * can be read: what it lacks is as after a reset. New fields go to the end, with a new
 * version; fields are never removed or changed. A newer version than ours is refused.
 *
 * What else there is follows from the registers and guest memory: commands are consumed
 * when a register write returns, the host's events are drained first, caches may be empty,
 * and attachments are made anew.
 *
 * A state is as hostile as a guest: values no guest could have written are masked.
 *
 * Up the path: the VMM. Beside: registers.c, stream-table.c.
 */

#include "vsmmu.h"

#include <string.h>

enum { VERSION = 1 };

static const char magic[8] = {'v', 'i', 'o', 'm', 'm', 'u', 'S', '3'};

typedef struct {
    char magic[8];
    guint32 version;
    guint32 size;
} Header;

G_STATIC_ASSERT(sizeof(Header) == 16);

typedef struct {
    guint16 field; /* where in ViommuiSmmuv3Registers */
    guint8 size;   /* 4 or 8 */
    guint8 since;  /* version */
} Field;

#define FIELD(name_, since_)                                                     \
    {                                                                            \
        .field = G_STRUCT_OFFSET(ViommuiSmmuv3Registers, name_),                 \
        .size = sizeof(((ViommuiSmmuv3Registers *)0)->name_), .since = (since_), \
    }

/* The ID registers come first: they are compared, not taken over. */
enum { N_IDR = 6 };

static const Field fields[] = {
    FIELD(idr[0], 1),
    FIELD(idr[1], 1),
    FIELD(idr[2], 1),
    FIELD(idr[3], 1),
    FIELD(idr[4], 1),
    FIELD(idr[5], 1),
    FIELD(cr0, 1),
    FIELD(cr1, 1),
    FIELD(cr2, 1),
    FIELD(gbpa, 1),
    FIELD(irq_ctrl, 1),
    FIELD(gerror, 1),
    FIELD(gerrorn, 1),
    FIELD(gerror_irq_cfg0, 1),
    FIELD(gerror_irq_cfg1, 1),
    FIELD(gerror_irq_cfg2, 1),
    FIELD(strtab_base, 1),
    FIELD(strtab_base_cfg, 1),
    FIELD(cmdq_base, 1),
    FIELD(cmdq_prod, 1),
    FIELD(cmdq_cons, 1),
    FIELD(eventq_base, 1),
    FIELD(eventq_prod, 1),
    FIELD(eventq_cons, 1),
    FIELD(eventq_irq_cfg0, 1),
    FIELD(eventq_irq_cfg1, 1),
    FIELD(eventq_irq_cfg2, 1),
};

/* --- save -------------------------------------------------------------------------------
 */

static guint32 size_of_version(guint32 version)
{
    guint32 size = sizeof(Header);

    for (gsize i = 0; i < G_N_ELEMENTS(fields); i++)
        if (fields[i].since <= version)
            size += fields[i].size;
    return size;
}

static void append_field(GByteArray *bytes, const ViommuiSmmuv3Registers *regs,
                         const Field *field)
{
    const guint8 *at = (const guint8 *)regs + field->field;

    if (field->size == 8) {
        guint64 value = GUINT64_TO_LE(*(const guint64 *)at);

        g_byte_array_append(bytes, (const guint8 *)&value, sizeof value);
    } else {
        guint32 value = GUINT32_TO_LE(*(const guint32 *)at);

        g_byte_array_append(bytes, (const guint8 *)&value, sizeof value);
    }
}

GBytes *viommu_smmuv3_save(ViommuSmmuv3 *smmu, GError **error)
{
    Header header = {.version = GUINT32_TO_LE(VERSION),
                     .size = GUINT32_TO_LE(size_of_version(VERSION))};
    GByteArray *bytes;

    if (smmu->blocked) {
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_INVALID,
                    "the SMMU is between block and release, which is no state to keep");
        return NULL;
    }
    viommui_smmuv3_drain_host_events(smmu);
    viommui_smmuv3_deliver_interrupts(smmu);
    bytes = g_byte_array_new();
    memcpy(header.magic, magic, sizeof magic);
    g_byte_array_append(bytes, (const guint8 *)&header, sizeof header);
    g_mutex_lock(&smmu->event_lock);
    for (gsize i = 0; i < G_N_ELEMENTS(fields); i++)
        append_field(bytes, &smmu->regs, &fields[i]);
    g_mutex_unlock(&smmu->event_lock);
    return g_byte_array_free_to_bytes(bytes);
}

/* --- restore ----------------------------------------------------------------------------
 */

static gboolean check_header(const guint8 *data, gsize size, guint32 *ret_version,
                             GError **error)
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
    if (memcmp(header.magic, magic, sizeof magic) != 0) {
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_INVALID,
                    "this is not the state of an SMMUv3");
        return FALSE;
    }
    if (*ret_version == 0 || *ret_version > VERSION) {
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_UNSUPPORTED,
                    "the state has version %u, and this library knows 1 to %d",
                    *ret_version, VERSION);
        return FALSE;
    }
    expected = size_of_version(*ret_version);
    if (size != expected || GUINT32_FROM_LE(header.size) != expected) {
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_INVALID,
                    "a state of version %u has a size of %u bytes; this one says %u and "
                    "has %" G_GSIZE_FORMAT,
                    *ret_version, expected, GUINT32_FROM_LE(header.size), size);
        return FALSE;
    }
    return TRUE;
}

/* The state's fields over what is in *regs. */
static void parse(const guint8 *data, guint32 version, ViommuiSmmuv3Registers *regs)
{
    data += sizeof(Header);
    for (gsize i = 0; i < G_N_ELEMENTS(fields); i++) {
        guint8 *at = (guint8 *)regs + fields[i].field;
        guint64 word;
        guint32 half;

        if (fields[i].since > version)
            continue;
        if (fields[i].size == 8) {
            memcpy(&word, data, sizeof word);
            *(guint64 *)at = GUINT64_FROM_LE(word);
        } else {
            memcpy(&half, data, sizeof half);
            *(guint32 *)at = GUINT32_FROM_LE(half);
        }
        data += fields[i].size;
    }
}

static gboolean check_idr(const guint32 own[N_IDR], const guint32 saved[N_IDR],
                          GError **error)
{
    for (guint i = 0; i < N_IDR; i++) {
        if (own[i] == saved[i])
            continue;
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_UNSUPPORTED,
                    "the state is of an SMMU with IDR%u 0x%08x, and this one has 0x%08x", i,
                    saved[i], own[i]);
        return FALSE;
    }
    return TRUE;
}

/* Whatever a former life has left in the host's caches must not serve this one. */
static gboolean clear_host(ViommuSmmuv3 *smmu, GError **error)
{
    const guint64 all[2] = {GUINT64_TO_LE(CMD_TLBI_NSNH_ALL), 0};
    ViommuResult result;
    gsize handled;

    if (!smmu->accel)
        return TRUE;
    if (!viommu_smmuv3_accel_block(smmu->accel, error))
        return FALSE;
    result = viommu_smmuv3_accel_invalidate(smmu->accel, (const guint8 *)all, 1, &handled);
    if (result == VIOMMU_OK)
        return TRUE;
    g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_HOST_GONE,
                "the host's translations cannot be invalidated: %s",
                viommu_result_name(result));
    return FALSE;
}

static void take_over(ViommuSmmuv3 *smmu, const guint8 *data, guint32 version)
{
    /* Endpoints must not see the registers of a reset in between. */
    viommui_smmuv3_begin_change(smmu);
    smmu->blocked = TRUE;
    viommui_smmuv3_end_change(smmu);
    viommui_smmuv3_registers_reset(smmu);
    viommui_smmuv3_begin_change(smmu);
    g_mutex_lock(&smmu->event_lock);
    parse(data, version, &smmu->regs);
    viommui_smmuv3_registers_sanitize(smmu);
    g_mutex_unlock(&smmu->event_lock);
    smmu->blocked = FALSE;
    viommui_smmuv3_end_change(smmu);
    smmu->frozen = TRUE;
    smmu->held = FALSE;
    smmu->lost = FALSE;
}

static gboolean restore(ViommuSmmuv3 *smmu, const guint8 *data, gsize size, GError **error)
{
    ViommuiSmmuv3Registers saved = {0};
    guint32 version;

    if (!check_header(data, size, &version, error))
        return FALSE;
    parse(data, version, &saved);
    if (!check_idr(smmu->regs.idr, saved.idr, error) || !clear_host(smmu, error))
        return FALSE;
    take_over(smmu, data, version);
    if (viommui_field_get(smmu->regs.cr0, CR0_EVENTQEN))
        viommui_smmuv3_resize_host_events(smmu);
    return viommui_smmuv3_refresh_all(smmu, error);
}

gboolean viommu_smmuv3_restore(ViommuSmmuv3 *smmu, GBytes *state, GError **error)
{
    gsize size;
    const guint8 *data = g_bytes_get_data(state, &size);

    if (!restore(smmu, data, size, error)) {
        viommu_smmuv3_block(smmu, NULL);
        return FALSE;
    }
    viommui_smmuv3_deliver_interrupts(smmu);
    return TRUE;
}
