/* SPDX-License-Identifier: MIT */
#ifndef VIOMMU_EMULATOR_INSPECT_H
#define VIOMMU_EMULATOR_INSPECT_H

#include <viommu-emulator/emulator.h>

G_BEGIN_DECLS

/*
 * What a test may see and do behind the back of the code under test. Nothing here
 * exists on a real kernel.
 */

typedef enum {
    VIOMMU_EMULATOR_OBJECT_DEVICE,
    VIOMMU_EMULATOR_OBJECT_IOAS,
    VIOMMU_EMULATOR_OBJECT_HWPT_PAGING,
    VIOMMU_EMULATOR_OBJECT_HWPT_NESTED,
    VIOMMU_EMULATOR_OBJECT_VIOMMU,
    VIOMMU_EMULATOR_OBJECT_VDEVICE,
    VIOMMU_EMULATOR_OBJECT_VEVENTQ,
    VIOMMU_EMULATOR_OBJECT_FAULT_QUEUE,
    VIOMMU_EMULATOR_OBJECT_FD, /* open emulated descriptors of every kind */
    VIOMMU_EMULATOR_N_OBJECTS,
} ViommuEmulatorObject;

/* Live objects of a kind, over all emulated iommufds. */
guint viommu_emulator_count_objects(ViommuEmulator *emulator, ViommuEmulatorObject kind);
const char *viommu_emulator_object_name(ViommuEmulatorObject kind);

/*
 * Virtual device IDs leaked because a cdev was closed before its vDEVICE was destroyed:
 * how many since the emulator was made, also those of iommufds that are closed by now.
 */
guint viommu_emulator_count_tombstones(ViommuEmulator *emulator);

/*
 * Calls made through the seam since the last reset: of one ioctl request, or of
 * one kind of call.
 */
#define VIOMMU_EMULATOR_CALL_ANY   0UL
#define VIOMMU_EMULATOR_CALL_OPEN  1UL
#define VIOMMU_EMULATOR_CALL_CLOSE 2UL
#define VIOMMU_EMULATOR_CALL_READ  3UL
#define VIOMMU_EMULATOR_CALL_IOCTL 4UL
#define VIOMMU_EMULATOR_CALL_WRITE 5UL
/* any other value: that ioctl request */
guint64 viommu_emulator_count_calls(ViommuEmulator *emulator, unsigned long call);
void viommu_emulator_reset_calls(ViommuEmulator *emulator);

/*
 * Fail the nth (from 1) call to come that matches, with this errno, before it does
 * anything; 0 for err cancels. `repeat`: all matching calls from the nth on. close()
 * can be counted but never fails, so VIOMMU_EMULATOR_CALL_ANY passes over it here.
 */
void viommu_emulator_fail_call(ViommuEmulator *emulator, unsigned long call, guint64 nth,
                               int err, gboolean repeat);

/* TRUE once the armed failure has hit. */
gboolean viommu_emulator_failure_hit(ViommuEmulator *emulator);

/* One call through the seam, after the fact. */
typedef struct {
    unsigned long kind;    /* VIOMMU_EMULATOR_CALL_...; ANY for all that have no kind */
    unsigned long request; /* of an ioctl */
    int fd;                /* -1: a call by path */
    gint64 result;         /* a negated errno on failure */
} ViommuEmulatorCall;

/*
 * Tell of every call from now on, but poll(); NULL for `log` stops it. It runs inside
 * the call and may call neither the emulator nor its seam.
 */
typedef void (*ViommuEmulatorLog)(const ViommuEmulatorCall *call, void *user_data);
void viommu_emulator_set_log(ViommuEmulator *emulator, ViommuEmulatorLog log,
                             void *user_data);

/*
 * The next n events (of vEVENTQs, and page requests) never arrive, and nobody is told.
 * Or: the next n events of vEVENTQs find their queue full, whatever is in it.
 */
void viommu_emulator_drop_events(ViommuEmulator *emulator, guint64 n);
void viommu_emulator_overflow_events(ViommuEmulator *emulator, guint64 n);

/*
 * The device is pulled out. Its DMA goes nowhere, its registers read as all ones, and
 * its cdev and group cannot be opened any more; but as on Linux, whose driver waits for
 * its users, what is open goes on answering, and the device stays in its group, bound
 * and attached, until its last file is closed. FALSE when there is no such device.
 */
gboolean viommu_emulator_unplug_device(ViommuEmulator *emulator, const char *bdf);

/* DMA accesses of the device so far, page by page, and how many of them were refused. */
guint64 viommu_emulator_count_dma(ViommuEmulator *emulator, const char *bdf,
                                  guint64 *ret_refused);

/*
 * Between begin and end attach and replace answer EBUSY and the device is blocked, as
 * while Linux resets an ATS-capable PCI function; end puts back what was attached
 * before, unless it was detached meanwhile.
 */
void viommu_emulator_device_begin_reset(ViommuEmulator *emulator, const char *bdf);
void viommu_emulator_device_end_reset(ViommuEmulator *emulator, const char *bdf);

/*
 * One DMA by the device behind this BDF, of at most 4 KiB within a page of the
 * IOVA: -EFAULT when the IOMMU refuses it (with the events that the hardware and
 * kernel would deliver). Uses and fills the caches of the emulated IOMMU, as the
 * device's own DMA does; unlike that, it needs no Bus Master in config space.
 */
int viommu_emulator_dma(ViommuEmulator *emulator, const char *bdf, guint64 iova, void *data,
                        gsize size, gboolean write);

/*
 * Where a read (or write) at this IOVA would land now, by the caches as they
 * stand, without changing them and without events: -EFAULT, or the intermediate
 * physical address (that is, guest-physical: what stage 1 answers) in *ret_ipa.
 */
int viommu_emulator_peek(ViommuEmulator *emulator, const char *bdf, guint64 iova,
                         gboolean write, guint64 *ret_ipa);

/*
 * The same of stage 1 alone: also where stage 2 leads no further, as at a guest's MSI
 * doorbell, where the host has no memory mapped.
 */
int viommu_emulator_peek_stage1(ViommuEmulator *emulator, const char *bdf, guint64 iova,
                                gboolean write, guint64 *ret_ipa);

/* One access, with all that can come with it. */
typedef struct {
    guint64 iova;
    gboolean write;
    gboolean has_pasid; /* SubstreamID, on an SMMU */
    guint32 pasid;
    gboolean privileged; /* with a PASID only, like exec; -EINVAL: the device cannot */
    gboolean exec;
} ViommuEmulatorAccess;

/* Who answered a look: nobody, a walk was made; the IOMMU's TLB; the device's own. */
typedef enum {
    VIOMMU_EMULATOR_CACHE_NONE,
    VIOMMU_EMULATOR_CACHE_TLB,
    VIOMMU_EMULATOR_CACHE_ATC,
} ViommuEmulatorCache;

/*
 * viommu_emulator_dma() and viommu_emulator_peek() of any access. Any DMA may also answer
 * -EINPROGRESS: the device has sent a page request and waits. With a successful response
 * a write is then carried out; a read has to be made again. -EADDRNOTAVAIL: on VT-d the
 * write was an interrupt message and met no memory.
 */
int viommu_emulator_dma_as(ViommuEmulator *emulator, const char *bdf,
                           const ViommuEmulatorAccess *access, void *data, gsize size);
int viommu_emulator_peek_as(ViommuEmulator *emulator, const char *bdf,
                            const ViommuEmulatorAccess *access, guint64 *ret_ipa,
                            ViommuEmulatorCache *ret_cache);

/* How many DMAs of the device wait for a page response. */
guint viommu_emulator_dma_waiting(ViommuEmulator *emulator, const char *bdf);

/* TRUE while the device's DMA is refused whatever the address (blocked or aborting). */
gboolean viommu_emulator_device_is_blocked(ViommuEmulator *emulator, const char *bdf);

/*
 * The next sequence number of every vEVENTQ there is now, so that the wrap at INT_MAX
 * can be met.
 */
void viommu_emulator_set_event_sequence(ViommuEmulator *emulator, guint32 sequence);

G_END_DECLS

#endif
