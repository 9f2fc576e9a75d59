/* SPDX-License-Identifier: MIT */
/*
 * What tests see and do behind the back of the code under test: counts, failures on
 * demand, reset windows, and DMA without a driver.
 *
 * Invariants: a failing call does nothing but count; close never fails, and so is
 * never the nth of VIOMMU_EMULATOR_CALL_ANY.
 *
 * Up: the public header; fds.c for each call. Down: all objects.
 */
#include "iommufd.h"

void viommui_emu_calls_init(EmuCalls *calls)
{
    calls->by_request = g_hash_table_new_full(NULL, NULL, NULL, g_free);
}

void viommui_emu_calls_clear(EmuCalls *calls)
{
    g_hash_table_unref(calls->by_request);
}

static gpointer request_key(unsigned long request)
{
    return (gpointer)(uintptr_t)request;
}

static void count_request(EmuCalls *calls, unsigned long request)
{
    guint64 *count = g_hash_table_lookup(calls->by_request, request_key(request));

    if (!count) {
        count = g_new0(guint64, 1);
        g_hash_table_insert(calls->by_request, request_key(request), count);
    }
    ++*count;
}

void viommui_emu_calls_leave(EmuCalls *calls, gint64 result)
{
    calls->now.result = result;
    if (calls->log) {
        calls->log(&calls->now, calls->log_data);
    }
}

int viommui_emu_calls_enter(EmuCalls *calls, unsigned long kind, unsigned long request,
                            int fd)
{
    int err;

    calls->now = (ViommuEmulatorCall){.kind = kind, .request = request, .fd = fd};
    calls->by_kind[VIOMMU_EMULATOR_CALL_ANY]++;
    if (kind != VIOMMU_EMULATOR_CALL_ANY) {
        calls->by_kind[kind]++;
    }
    if (kind == VIOMMU_EMULATOR_CALL_IOCTL) {
        count_request(calls, request);
    }
    if (!calls->fail_errno || kind == VIOMMU_EMULATOR_CALL_CLOSE) {
        return 0;
    }
    if (calls->fail_call != VIOMMU_EMULATOR_CALL_ANY && calls->fail_call != kind &&
        (kind != VIOMMU_EMULATOR_CALL_IOCTL || calls->fail_call != request)) {
        return 0;
    }
    if (calls->fail_in > 1) {
        calls->fail_in--;
        return 0;
    }
    err = calls->fail_errno;
    calls->fail_hit = TRUE;
    if (!calls->fail_repeat) {
        calls->fail_errno = 0;
    }
    return -err;
}

guint64 viommu_emulator_count_calls(ViommuEmulator *emulator, unsigned long call)
{
    const guint64 *count;
    guint64 ret;

    pthread_mutex_lock(&emulator->lock);
    count = call <= VIOMMU_EMULATOR_CALL_WRITE
                ? &emulator->calls.by_kind[call]
                : g_hash_table_lookup(emulator->calls.by_request, request_key(call));
    ret = count ? *count : 0;
    pthread_mutex_unlock(&emulator->lock);
    return ret;
}

void viommu_emulator_reset_calls(ViommuEmulator *emulator)
{
    pthread_mutex_lock(&emulator->lock);
    g_hash_table_remove_all(emulator->calls.by_request);
    memset(emulator->calls.by_kind, 0, sizeof(emulator->calls.by_kind));
    pthread_mutex_unlock(&emulator->lock);
}

void viommu_emulator_fail_call(ViommuEmulator *emulator, unsigned long call, guint64 nth,
                               int err, gboolean repeat)
{
    pthread_mutex_lock(&emulator->lock);
    emulator->calls.fail_call = call;
    emulator->calls.fail_in = nth;
    emulator->calls.fail_errno = err < 0 ? -err : err;
    emulator->calls.fail_repeat = repeat;
    emulator->calls.fail_hit = FALSE;
    pthread_mutex_unlock(&emulator->lock);
}

gboolean viommu_emulator_failure_hit(ViommuEmulator *emulator)
{
    gboolean hit;

    pthread_mutex_lock(&emulator->lock);
    hit = emulator->calls.fail_hit;
    pthread_mutex_unlock(&emulator->lock);
    return hit;
}

void viommu_emulator_set_log(ViommuEmulator *emulator, ViommuEmulatorLog log,
                             void *user_data)
{
    pthread_mutex_lock(&emulator->lock);
    emulator->calls.log = log;
    emulator->calls.log_data = user_data;
    pthread_mutex_unlock(&emulator->lock);
}

void viommu_emulator_drop_events(ViommuEmulator *emulator, guint64 n)
{
    pthread_mutex_lock(&emulator->lock);
    emulator->drop_events = n;
    pthread_mutex_unlock(&emulator->lock);
}

void viommu_emulator_overflow_events(ViommuEmulator *emulator, guint64 n)
{
    pthread_mutex_lock(&emulator->lock);
    emulator->overflow_events = n;
    pthread_mutex_unlock(&emulator->lock);
}

gboolean viommu_emulator_unplug_device(ViommuEmulator *emulator, const char *bdf)
{
    EmuDevice *device;
    gboolean found;

    pthread_mutex_lock(&emulator->lock);
    device = viommui_emu_find_device(emulator, bdf);
    found = device && !device->gone;
    if (found) {
        device->gone = TRUE;
        viommui_emu_device_forget(device);
    }
    pthread_mutex_unlock(&emulator->lock);
    return found;
}

guint64 viommu_emulator_count_dma(ViommuEmulator *emulator, const char *bdf,
                                  guint64 *ret_refused)
{
    EmuDevice *device;
    guint64 count;

    pthread_mutex_lock(&emulator->lock);
    device = viommui_emu_find_device(emulator, bdf);
    count = device ? device->n_dma : 0;
    if (ret_refused) {
        *ret_refused = device ? device->n_refused : 0;
    }
    pthread_mutex_unlock(&emulator->lock);
    return count;
}

static const struct {
    const char *name;
    EmuObjectType type;
} objects[VIOMMU_EMULATOR_N_OBJECTS] = {
    [VIOMMU_EMULATOR_OBJECT_DEVICE] = {"device", EMU_OBJECT_DEVICE},
    [VIOMMU_EMULATOR_OBJECT_IOAS] = {"IOAS", EMU_OBJECT_IOAS},
    [VIOMMU_EMULATOR_OBJECT_HWPT_PAGING] = {"paging HWPT", EMU_OBJECT_HWPT_PAGING},
    [VIOMMU_EMULATOR_OBJECT_HWPT_NESTED] = {"nested HWPT", EMU_OBJECT_HWPT_NESTED},
    [VIOMMU_EMULATOR_OBJECT_VIOMMU] = {"vIOMMU", EMU_OBJECT_VIOMMU},
    [VIOMMU_EMULATOR_OBJECT_VDEVICE] = {"vDEVICE", EMU_OBJECT_VDEVICE},
    [VIOMMU_EMULATOR_OBJECT_VEVENTQ] = {"vEVENTQ", EMU_OBJECT_VEVENTQ},
    [VIOMMU_EMULATOR_OBJECT_FAULT_QUEUE] = {"fault queue", EMU_OBJECT_FAULT},
    [VIOMMU_EMULATOR_OBJECT_FD] = {"descriptor", EMU_N_OBJECT_TYPES},
};

guint viommu_emulator_count_objects(ViommuEmulator *emulator, ViommuEmulatorObject kind)
{
    guint count = 0;

    if ((guint)kind >= VIOMMU_EMULATOR_N_OBJECTS) {
        return 0;
    }
    pthread_mutex_lock(&emulator->lock);
    if (kind == VIOMMU_EMULATOR_OBJECT_FD) {
        count = g_hash_table_size(emulator->fds);
    }
    for (guint i = 0; kind != VIOMMU_EMULATOR_OBJECT_FD && i < emulator->contexts->len;
         i++) {
        count += viommui_emu_iommufd_count(g_ptr_array_index(emulator->contexts, i),
                                           objects[kind].type);
    }
    pthread_mutex_unlock(&emulator->lock);
    return count;
}

const char *viommu_emulator_object_name(ViommuEmulatorObject kind)
{
    return (guint)kind < VIOMMU_EMULATOR_N_OBJECTS ? objects[kind].name : "unknown";
}

guint viommu_emulator_count_tombstones(ViommuEmulator *emulator)
{
    guint count;

    pthread_mutex_lock(&emulator->lock);
    count = emulator->tombstones;
    pthread_mutex_unlock(&emulator->lock);
    return count;
}

void viommu_emulator_device_begin_reset(ViommuEmulator *emulator, const char *bdf)
{
    EmuDevice *device;

    pthread_mutex_lock(&emulator->lock);
    device = viommui_emu_find_device(emulator, bdf);
    if (device) {
        viommui_emu_device_reset_begin(device);
    }
    pthread_mutex_unlock(&emulator->lock);
}

void viommu_emulator_device_end_reset(ViommuEmulator *emulator, const char *bdf)
{
    EmuDevice *device;

    pthread_mutex_lock(&emulator->lock);
    device = viommui_emu_find_device(emulator, bdf);
    if (device) {
        viommui_emu_device_reset_end(device);
    }
    pthread_mutex_unlock(&emulator->lock);
}

int viommu_emulator_dma(ViommuEmulator *emulator, const char *bdf, guint64 iova, void *data,
                        gsize size, gboolean write)
{
    EmuDevice *device;
    int ret;

    if (!size || size > EMU_PAGE_SIZE - iova % EMU_PAGE_SIZE) {
        return -EINVAL;
    }
    if (!data) {
        return -EFAULT;
    }
    pthread_mutex_lock(&emulator->lock);
    device = viommui_emu_find_device(emulator, bdf);
    ret = device ? viommui_emu_dma_page(device, iova, data, size, write) : -ENODEV;
    pthread_mutex_unlock(&emulator->lock);
    return ret;
}

static int peek(EmuDevice *device, guint64 iova, gboolean write, gboolean stage2,
                guint64 *ret_ipa)
{
    const EmuAccess access = {.iova = iova, .write = write, .peek = TRUE};
    EmuIoas *ioas = NULL;
    guint64 ipa = 0;
    int ret;

    if (!device->group->owner || device->gone) {
        return -EFAULT;
    }
    ret = device->iommu->ops->translate(device, &access, &ipa, &ioas);
    if (ret < 0) {
        return ret;
    }
    if (stage2 && !viommui_emu_dma_host(device, &access, ioas, ipa, 1)) {
        return -EFAULT;
    }
    if (ret_ipa) {
        *ret_ipa = ipa;
    }
    return 0;
}

static int locked_peek(ViommuEmulator *emulator, const char *bdf, guint64 iova,
                       gboolean write, gboolean stage2, guint64 *ret_ipa)
{
    EmuDevice *device;
    int ret;

    pthread_mutex_lock(&emulator->lock);
    device = viommui_emu_find_device(emulator, bdf);
    ret = device ? peek(device, iova, write, stage2, ret_ipa) : -ENODEV;
    pthread_mutex_unlock(&emulator->lock);
    return ret;
}

int viommu_emulator_peek(ViommuEmulator *emulator, const char *bdf, guint64 iova,
                         gboolean write, guint64 *ret_ipa)
{
    return locked_peek(emulator, bdf, iova, write, TRUE, ret_ipa);
}

int viommu_emulator_peek_stage1(ViommuEmulator *emulator, const char *bdf, guint64 iova,
                                gboolean write, guint64 *ret_ipa)
{
    return locked_peek(emulator, bdf, iova, write, FALSE, ret_ipa);
}

gboolean viommu_emulator_device_is_blocked(ViommuEmulator *emulator, const char *bdf)
{
    EmuDevice *device;
    gboolean blocked;

    pthread_mutex_lock(&emulator->lock);
    device = viommui_emu_find_device(emulator, bdf);
    blocked = !device || !device->group->owner || device->gone ||
              device->iommu->ops->is_blocking(device);
    pthread_mutex_unlock(&emulator->lock);
    return blocked;
}

void viommu_emulator_set_event_sequence(ViommuEmulator *emulator, guint32 sequence)
{
    pthread_mutex_lock(&emulator->lock);
    for (guint i = 0; i < emulator->contexts->len; i++) {
        EmuIommufd *ctx = g_ptr_array_index(emulator->contexts, i);

        for (guint32 id = 1; id < ctx->slots->len; id++) {
            EmuObject *object = viommui_emu_object_get(ctx, id, EMU_OBJECT_VEVENTQ);

            if (object) {
                ((EmuVeventq *)object)->sequence = sequence & G_MAXINT32;
            }
        }
    }
    pthread_mutex_unlock(&emulator->lock);
}
