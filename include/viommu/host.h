/* SPDX-License-Identifier: MIT */
#ifndef VIOMMU_HOST_H
#define VIOMMU_HOST_H

#include <viommu/error.h>
#include <viommu/seam.h>
#include <viommu/trace.h>

G_BEGIN_DECLS

/*
 * ViommuHost: the host side of one virtual machine. It holds the VM's guest-physical
 * memory as the host's IOMMUs see it, and the physical devices handed over to it.
 *
 * Concurrency, here and in every header that does not say otherwise: calls on one host
 * and on anything made from it must not overlap; different hosts are independent.
 */
typedef struct ViommuHost ViommuHost;

typedef struct {
    /*
     * A name from viommu_backend_names(); NULL: the first of them. "iommufd": cdevs of
     * VFIO and nested translation; "legacy": VFIO groups and containers, without.
     */
    const char *backend;
    /* How to reach the kernel; NULL: viommu_seam_system(). Kept, not copied. */
    const ViommuSeam *seam;
    /*
     * An iommufd that the VMM already holds, or -1 to open /dev/iommu. Never closed by
     * the library when given.
     */
    int iommufd;
    /*
     * With an iommufd given: the IOAS that holds, or will hold, guest memory; 0 to make
     * one. Never destroyed by the library when given. What the VMM maps in it by itself can
     * be nested in, but no copy of a guest's table can be made of it: those are of what
     * viommu_host_map() has mapped.
     */
    guint32 ioas_id;
    /*
     * For backend "legacy", which takes none of the two above: what VFIO containers are
     * opened of; NULL: "/dev/vfio/vfio". Also "/dev/iommu", where the kernel has containers
     * by iommufd only.
     */
    const char *container;
} ViommuHostConfig;

#define VIOMMU_HOST_CONFIG_INIT \
    {                           \
        NULL, NULL, -1, 0, NULL \
    }

/* The backends in this build, best first, NULL-terminated; static. */
const char *const *viommu_backend_names(void);

/* NULL config: all defaults. NULL with an error set when the host cannot serve. */
ViommuHost *viommu_host_new(const ViommuHostConfig *config, GError **error);

/*
 * Every device and every vIOMMU made from it must be freed first; else nothing happens.
 * Guest memory still mapped is unmapped. Accepts NULL.
 */
void viommu_host_free(ViommuHost *host);

/*
 * How many times the host may come to pin guest memory, and to charge it to a limit such as
 * RLIMIT_MEMLOCK: once for all devices, but with backend "legacy" once for each IOMMU group
 * of the devices made so far. VIOMMU_TRACE_PINNINGS tells when it changes.
 */
guint viommu_host_count_pinnings(ViommuHost *host);

/* One subscriber; NULL func ends it. */
void viommu_host_set_trace(ViommuHost *host, ViommuTraceFunc func, void *user_data);

typedef enum {
    VIOMMU_MAP_READ = 1 << 0,
    VIOMMU_MAP_WRITE = 1 << 1,
} ViommuMapFlags;

/*
 * Make `size` bytes of the VMM's memory at `address` guest-physical memory at `gpa`, for
 * devices to reach. All three in bytes, multiples of the host's page size. The host
 * pins it: it must stay mapped in this process until viommu_host_unmap(). Ranges must
 * not overlap; a host IOMMU may refuse ranges that it reserves, or any that cannot be
 * written (viommu_host_takes_read_only()).
 */
gboolean viommu_host_map(ViommuHost *host, guint64 gpa, guint64 size, void *address,
                         ViommuMapFlags flags, GError **error);

/* The same from `offset` in a memfd (or a dma-buf, where the kernel takes it). */
gboolean viommu_host_map_fd(ViommuHost *host, guint64 gpa, guint64 size, int fd,
                            guint64 offset, ViommuMapFlags flags, GError **error);

/*
 * Units of unmapping are units of mapping: gpa and size are those of one earlier
 * map call. When it returns, devices no longer reach the range.
 */
gboolean viommu_host_unmap(ViommuHost *host, guint64 gpa, guint64 size, GError **error);

/*
 * FALSE while there is a vIOMMU whose host IOMMU takes no memory that devices may read but
 * not write (VT-d erratum 772415): mapping such memory is refused then. Nor can a device be
 * attached to such a vIOMMU while such memory is mapped.
 */
gboolean viommu_host_takes_read_only(ViommuHost *host);

/*
 * Dirty tracking, for live migration: which guest memory has been written by devices in
 * vIOMMUs' hands. FALSE: the host IOMMU of one of them cannot (no SMMUv3 can).
 */
gboolean viommu_host_can_track_dirty(ViommuHost *host);

/*
 * Of all vIOMMUs, those made later too, or of none. Switching it on starts with nothing
 * dirty. Where switching it off fails, some of the host goes on recording, for nothing.
 */
gboolean viommu_host_set_dirty_tracking(ViommuHost *host, gboolean on, GError **error);

/*
 * Set the bits of what was written since it was switched on, or since the last such call
 * without `keep`: bit n of the bitmap, that is bit n % 64 of its word n / 64, is that of
 * the page of page_size bytes at gpa + n * page_size. page_size is a power of two, 4096 or
 * more, and gpa and size are multiples of it. No bit is ever cleared in the bitmap; on
 * failure it has those that were read until then.
 *
 * Memory that is not mapped has no bits: read them before viommu_host_unmap(), and before a
 * device is detached from its vIOMMU, or they are lost. Where the VMM itself maps memory in
 * the IOAS it has given, all of the range is to be mapped.
 */
gboolean viommu_host_get_dirty(ViommuHost *host, guint64 gpa, guint64 size,
                               guint64 page_size, guint64 *bitmap, gboolean keep,
                               GError **error);

G_END_DECLS

#endif
