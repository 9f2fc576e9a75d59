/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UAPI_H
#define TESTS_UAPI_H

#include <linux/iommufd.h>
#include <linux/vfio.h>

#include "dma.h"
#include "guest.h"
#include "target.h"

/*
 * The plain uAPI of iommufd and VFIO cdevs, a line a call, for programs that run on the
 * emulator and on the kernel alike: they include nothing of libviommu's, so what they
 * find is the kernel's answer and no opinion of ours.
 *
 * Every call returns 0 or more, or a negated errno; answers are written on success only,
 * but where a call says otherwise.
 */
enum { UAPI_DEVICES = 2 };
/* Guest memory, as the rig maps it; not where the MSI window of Arm lies. */
enum { UAPI_RAM_BASE = 0x1000000, UAPI_RAM_SIZE = 0x800000 };
/* An ID that no test ever gets. */
enum { UAPI_NO_ID = 0x7ffffff0 };
enum {
    UAPI_FIXED_RW =
        IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE
};
enum { UAPI_FILL = 0x5a }; /* what the devices' buffers hold: uapi_stores() */

typedef struct {
    Target target;
    const ViommuSeam *seam;
    int fd; /* /dev/iommu */
    guint n_devices;
    int cdevs[UAPI_DEVICES];
    guint32 devices[UAPI_DEVICES]; /* their IDs */
    DmaDevice dma[UAPI_DEVICES];
    guint32 hw_type; /* IOMMU_HW_INFO_TYPE_... of the first device */
    guint32 ioas;    /* holds the guest memory */
    GuestMemory ram;
    guint64 fill;  /* guest-physical: a page of UAPI_FILL */
    guint64 spare; /* guest-physical: a page for anything */
} Uapi;

/* FALSE: the arguments are wrong, and that was said. */
gboolean uapi_init(Uapi *u, int argc, char **argv);
void uapi_clear(Uapi *u);

/*
 * A new iommufd with the devices bound to it (IDs from 1), then an IOAS with guest memory
 * mapped at UAPI_RAM_BASE. Bails out when that fails.
 */
void uapi_start(Uapi *u);
/* Closes the cdevs, then the iommufd: with it goes whatever is left. */
void uapi_stop(Uapi *u);

/*
 * The whole of main() around the tests: each gets a rig of its own. `hw_type`: skips
 * everything where the IOMMU is another; IOMMU_HW_INFO_TYPE_NONE is any.
 */
typedef void (*UapiTest)(Uapi *u);
int uapi_main(int argc, char **argv, guint32 hw_type, const UapiTest *tests, guint n_tests);

int uapi_ioctl(Uapi *u, unsigned long request, void *arg);
int uapi_cdev_open(Uapi *u, guint n);
int uapi_close(Uapi *u, int fd);
int uapi_cdev_ioctl(Uapi *u, int fd, unsigned long request, void *arg);

int uapi_bind(Uapi *u, int cdev, int iommufd, guint32 *ret_id);
/* *pt_id becomes the ID of the HWPT that an IOAS came down to. */
int uapi_attach(Uapi *u, guint n, guint32 *pt_id);
int uapi_attach_to(Uapi *u, guint n, guint32 pt_id);
int uapi_detach(Uapi *u, guint n);

int uapi_ioas_alloc(Uapi *u, guint32 *ret_id);
int uapi_map(Uapi *u, guint32 ioas, guint32 flags, const void *va, guint64 length,
             guint64 *iova);
int uapi_map_at(Uapi *u, guint32 ioas, const void *va, guint64 length, guint64 iova);
int uapi_map_file(Uapi *u, guint32 ioas, guint32 flags, int fd, guint64 start,
                  guint64 length, guint64 *iova);
/* *length becomes what was unmapped. */
int uapi_unmap(Uapi *u, guint32 ioas, guint64 iova, guint64 *length);
int uapi_unmap_at(Uapi *u, guint32 ioas, guint64 iova, guint64 length);
int uapi_copy(Uapi *u, guint32 dst, guint32 src, guint32 flags, guint64 src_iova,
              guint64 length, guint64 *dst_iova);
/* *n is the room, then the number there is; also on EMSGSIZE. */
int uapi_ranges(Uapi *u, guint32 ioas, struct iommu_iova_range *ranges, guint32 *n,
                guint64 *ret_alignment);
int uapi_allow(Uapi *u, guint32 ioas, const struct iommu_iova_range *ranges, guint32 n);
int uapi_option(Uapi *u, guint32 option, guint16 op, guint32 object, guint64 *value);

int uapi_hwpt(Uapi *u, guint n, guint32 pt_id, guint32 flags, guint32 type,
              const void *data, guint32 size, guint32 *ret_id);
/* Without user data. */
int uapi_paging(Uapi *u, guint n, guint32 pt_id, guint32 flags, guint32 *ret_id);
int uapi_viommu(Uapi *u, guint n, guint32 hwpt, guint32 type, guint32 *ret_id);
int uapi_vdevice(Uapi *u, guint32 viommu, guint n, guint64 virt_id, guint32 *ret_id);
int uapi_veventq(Uapi *u, guint32 viommu, guint32 type, guint32 depth, guint32 *ret_id,
                 int *ret_fd);
int uapi_destroy(Uapi *u, guint32 id);
/* *n: entries there are, then entries handled; also on failure. */
int uapi_invalidate(Uapi *u, guint32 id, guint32 type, const void *data, guint32 size,
                    guint32 *n);

/* Whether a write by the nth device at this IOVA lands at this guest-physical address. */
gboolean uapi_stores(Uapi *u, guint n, guint64 iova, guint64 gpa);
/* Just do it. */
void uapi_store(Uapi *u, guint n, guint64 iova);
/* One word, written or read: a refused DMA of more may be refused, and told, word by word.
 */
void uapi_poke(Uapi *u, guint n, guint64 iova);
void uapi_peek(Uapi *u, guint n, guint64 iova);
/*
 * Whether a read at this IOVA gets the bytes of `gpa`; proved by writing them back at
 * `back`, which must land at `back_gpa`. Leaves the buffer changed: uapi_prime() next.
 */
gboolean uapi_loads(Uapi *u, guint n, guint64 iova, guint64 gpa, guint64 back,
                    guint64 back_gpa);
/* Fill the device's buffer with UAPI_FILL, read at this IOVA of the `fill` page. */
void uapi_prime(Uapi *u, guint n, guint64 iova);

#endif
