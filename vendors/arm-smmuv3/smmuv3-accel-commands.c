/* SPDX-License-Identifier: MIT */
/*
 * Invalidation: the guest's commands, validated one by one, go to the host SMMUs in
 * batches.
 *
 * One call from the VMM is one call to each host SMMU concerned, whatever SYNCs stand
 * between: all is done when it returns, which is before the guest can see any of them
 * complete.
 *
 * Up the path: the VMM. Down the path: core/core.h. Beside: smmuv3-accel.c.
 */

#include "smmuv3.h"

ViommuResult viommui_smmuv3_flush(ViommuSmmuv3Accel *accel, gsize *ret_command)
{
    ViommuResult first = VIOMMU_OK;
    gsize first_command = G_MAXSIZE;

    for (guint i = 0; i < accel->hosts->len; i++) {
        ViommuiSmmuv3HostSmmu *host = accel->hosts->pdata[i];
        gsize command;
        ViommuResult result = viommui_batch_flush(host->batch, &command);

        if (result != VIOMMU_OK && command < first_command) {
            first = result;
            first_command = command;
        }
    }
    if (first != VIOMMU_OK)
        *ret_command = first_command;
    return first;
}

/*
 * Changes that the host put off, a reset of the device being under way. FALSE: there is a
 * device that the host does not even block.
 */
static gboolean retry_put_off(ViommuSmmuv3Accel *accel)
{
    gboolean at_large = FALSE;
    GHashTableIter iter;
    gpointer stream;

    g_hash_table_iter_init(&iter, accel->put_off);
    while (g_hash_table_iter_next(&iter, &stream, NULL)) {
        ViommuHostDevice *device = ((ViommuiSmmuv3Stream *)stream)->device;

        viommui_host_device_retry(device, VIOMMUI_NO_PASID);
        at_large = at_large || viommui_host_device_is_at_large(device, VIOMMUI_NO_PASID);
        if (!viommui_host_device_is_pending(device, VIOMMUI_NO_PASID))
            g_hash_table_iter_remove(&iter);
    }
    return !at_large;
}

static ViommuResult add(ViommuSmmuv3Accel *accel, ViommuiSmmuv3HostSmmu *host,
                        const ViommuiCommand *command, gsize index, gsize *ret_failed)
{
    ViommuResult result = VIOMMU_OK;

    if (viommui_batch_is_full(host->batch))
        result = viommui_smmuv3_flush(accel, ret_failed);
    if (result == VIOMMU_OK)
        viommui_batch_add(host->batch, command->words, index,
                          command->kind != VIOMMUI_COMMAND_ATC_INV);
    return result;
}

static ViommuResult add_broadcast(ViommuSmmuv3Accel *accel, const ViommuiCommand *command,
                                  gsize index, gsize *ret_failed)
{
    ViommuResult result = VIOMMU_OK;

    for (guint i = 0; i < accel->hosts->len && result == VIOMMU_OK; i++)
        result = add(accel, accel->hosts->pdata[i], command, index, ret_failed);
    return result;
}

/* Without a device, or without ATS for an ATC_INV, the host caches nothing. */
static ViommuResult add_to_stream(ViommuSmmuv3Accel *accel, const ViommuiCommand *command,
                                  gsize index, gsize *ret_failed)
{
    ViommuiSmmuv3Stream *stream =
        g_hash_table_lookup(accel->by_sid, GUINT_TO_POINTER(command->sid));

    if (!stream || (command->kind == VIOMMUI_COMMAND_ATC_INV && !stream->ats))
        return VIOMMU_OK;
    return add(accel, stream->host, command, index, ret_failed);
}

static ViommuResult dispatch(ViommuSmmuv3Accel *accel, const ViommuiCommand *command,
                             gsize index, gsize *ret_failed)
{
    switch (command->kind) {
    case VIOMMUI_COMMAND_COMPLETE:
        return VIOMMU_OK;
    case VIOMMUI_COMMAND_TLBI:
        return add_broadcast(accel, command, index, ret_failed);
    case VIOMMUI_COMMAND_CFGI:
    case VIOMMUI_COMMAND_ATC_INV:
        return add_to_stream(accel, command, index, ret_failed);
    case VIOMMUI_COMMAND_CFGI_STE:
        *ret_failed = index;
        return viommui_refuse(accel->host, NULL, VIOMMU_UNSUPPORTED,
                              "command %" G_GSIZE_FORMAT
                              ", opcode 0x%02x: stream table entries "
                              "are installed, not forwarded",
                              index, command->opcode);
    case VIOMMUI_COMMAND_ILLEGAL:
        break;
    }
    *ret_failed = index;
    return viommui_refuse(accel->host, NULL, VIOMMU_GUEST_INVALID,
                          "command %" G_GSIZE_FORMAT ", opcode 0x%02x, is illegal: %s",
                          index, command->opcode, command->why);
}

ViommuResult viommu_smmuv3_accel_invalidate(ViommuSmmuv3Accel *accel,
                                            const guint8 *commands, gsize n_commands,
                                            gsize *ret_handled)
{
    ViommuResult result = VIOMMU_OK, flushed;
    gsize handled = n_commands, failed;

    *ret_handled = 0;
    /* The guest must not believe that its old tables are out of use. */
    if (!retry_put_off(accel))
        return viommui_refuse(accel->host, NULL, VIOMMU_TRANSIENT,
                              "the host does not block a device that must not do DMA");
    for (gsize i = 0; i < n_commands && result == VIOMMU_OK; i++) {
        ViommuiCommand command = viommui_smmuv3_decode_command(
            accel->config.idr, commands + i * VIOMMU_SMMUV3_COMMAND_SIZE);

        result = dispatch(accel, &command, i, &handled);
    }
    /* What went before the command that failed is still to be done, and may fail too. */
    flushed = viommui_smmuv3_flush(accel, &failed);
    if (flushed != VIOMMU_OK && failed < handled) {
        result = flushed;
        handled = failed;
    }
    *ret_handled = handled;
    return result;
}
