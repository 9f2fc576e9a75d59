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
    /* A name from viommu_backend_names(); NULL: the first of them. */
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
     * one. Never destroyed by the library when given.
     */
    guint32 ioas_id;
} ViommuHostConfig;

#define VIOMMU_HOST_CONFIG_INIT \
    {                           \
        NULL, NULL, -1, 0       \
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
 * not overlap; a host IOMMU may refuse ranges that it reserves.
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

G_END_DECLS

#endif
