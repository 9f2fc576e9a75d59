/* SPDX-License-Identifier: MIT */
/*
 * SMMUv3 nesting as the uAPI has it: who may make what, which bits of a guest's stream
 * table entry and of its commands the host takes, what is counted when a batch fails,
 * attach rules and orders of tear-down. DMA and events are test-smmuv3-dma.c.
 *
 * The same points on the emulator and, with --device, on the kernel.
 */
#include "vsmmu.h"

#include "tap.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define BITS(hi, lo) ((~0ull >> (63 - (hi))) & (~0ull << (lo)))
#define BIT(n)       (1ull << (n))

/* STE: V, Config */
enum { STE_ABORT = 1, STE_BYPASS = 1 | 4 << 1, STE_S1 = 1 | 5 << 1 };
enum { ARM_COMMANDS = IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3 };

/* --- making objects ---------------------------------------------------------------------
 */

static void test_parent(Uapi *u)
{
    guint32 id = 0, plain = 0, pasid = 0;
    guint64 data[2] = {0};

    tap_is(uapi_paging(u, 0, u->ioas,
                       IOMMU_HWPT_ALLOC_NEST_PARENT | IOMMU_HWPT_ALLOC_DIRTY_TRACKING, &id),
           -EOPNOTSUPP, "a parent with dirty tracking");
    tap_is(uapi_paging(u, 0, u->ioas, IOMMU_HWPT_ALLOC_NEST_PARENT | IOMMU_HWPT_ALLOC_PASID,
                       &id),
           -EOPNOTSUPP, "a parent for PASIDs");
    tap_is(uapi_hwpt(u, 0, u->ioas, IOMMU_HWPT_ALLOC_NEST_PARENT,
                     IOMMU_HWPT_DATA_ARM_SMMUV3, data, sizeof data, &id),
           -EOPNOTSUPP, "a parent with data");
    tap_is(uapi_paging(u, 0, u->ioas, IOMMU_HWPT_ALLOC_NEST_PARENT, &id), 0, "a parent");
    tap_is(uapi_hwpt(u, 0, id, 0, IOMMU_HWPT_DATA_ARM_SMMUV3, data, sizeof data, &plain),
           -EOPNOTSUPP, "a nested HWPT from the parent itself");
    tap_is(uapi_paging(u, 0, u->ioas, 0, &plain), 0, "one that is no parent");
    tap_is(uapi_paging(u, 0, u->ioas, IOMMU_HWPT_ALLOC_PASID, &pasid), 0,
           "one for PASIDs, though the device has none");
    tap_is(uapi_viommu(u, 0, plain, IOMMU_VIOMMU_TYPE_ARM_SMMUV3, &id), -EINVAL,
           "a vIOMMU over one that is no parent");
    tap_is(uapi_viommu(u, 0, UAPI_NO_ID, IOMMU_VIOMMU_TYPE_ARM_SMMUV3, &id), -ENOENT,
           "a vIOMMU over nothing");
    tap_is(uapi_viommu(u, 0, id, IOMMU_VIOMMU_TYPE_ARM_SMMUV3 + 50, &id), -EOPNOTSUPP,
           "a vIOMMU of a strange type");
}

static void test_viommu(Uapi *u)
{
    guint32 parent = 0, viommu = 0, second = 0, id = 0;
    struct iommu_viommu_alloc cmd = {
        .size = sizeof cmd, .type = IOMMU_VIOMMU_TYPE_ARM_SMMUV3, .dev_id = UAPI_NO_ID};

    uapi_paging(u, 0, u->ioas, IOMMU_HWPT_ALLOC_NEST_PARENT, &parent);
    cmd.hwpt_id = parent;
    tap_is(uapi_ioctl(u, IOMMU_VIOMMU_ALLOC, &cmd), -ENOENT, "a vIOMMU for no device");
    cmd.dev_id = u->devices[0];
    cmd.flags = 1;
    tap_is(uapi_ioctl(u, IOMMU_VIOMMU_ALLOC, &cmd), -EOPNOTSUPP, "a vIOMMU with a flag");
    tap_is(uapi_viommu(u, 0, parent, IOMMU_VIOMMU_TYPE_ARM_SMMUV3, &viommu), 0, "a vIOMMU");
    tap_is(uapi_viommu(u, 0, parent, IOMMU_VIOMMU_TYPE_ARM_SMMUV3, &second), 0, "another");
    tap_is(uapi_viommu(u, 0, viommu, IOMMU_VIOMMU_TYPE_ARM_SMMUV3, &id), -ENOENT,
           "a vIOMMU over a vIOMMU");
    tap_is(uapi_destroy(u, parent), -EBUSY, "their parent stays");
    tap_is(uapi_attach_to(u, 0, viommu), -EINVAL, "attach to a vIOMMU");
    tap_is(uapi_destroy(u, second), 0, "one goes");
    tap_is(uapi_destroy(u, viommu), 0, "the other goes");
    tap_is(uapi_destroy(u, parent), 0, "the parent goes");
}

static void test_vdevice(Uapi *u)
{
    guint32 parent = 0, viommu = 0, second = 0, vdevice = 0, id = 0;
    struct iommu_vdevice_alloc cmd = {
        .size = sizeof cmd, .dev_id = UAPI_NO_ID, .virt_id = VSMMU_SID};

    uapi_paging(u, 0, u->ioas, IOMMU_HWPT_ALLOC_NEST_PARENT, &parent);
    uapi_viommu(u, 0, parent, IOMMU_VIOMMU_TYPE_ARM_SMMUV3, &viommu);
    uapi_viommu(u, 0, parent, IOMMU_VIOMMU_TYPE_ARM_SMMUV3, &second);
    cmd.viommu_id = viommu;
    tap_is(uapi_ioctl(u, IOMMU_VDEVICE_ALLOC, &cmd), -ENOENT, "a vDEVICE of no device");
    tap_is(uapi_vdevice(u, UAPI_NO_ID, 0, VSMMU_SID, &id), -ENOENT, "a vDEVICE in nothing");
    tap_is(uapi_vdevice(u, parent, 0, VSMMU_SID, &id), -ENOENT, "a vDEVICE in a parent");
    tap_is(uapi_vdevice(u, viommu, 0, VSMMU_SID, &vdevice), 0, "a vDEVICE");
    tap_is(uapi_vdevice(u, viommu, 0, VSMMU_SID + 9, &id), -EEXIST,
           "a second one of the device");
    tap_is(uapi_vdevice(u, second, 0, VSMMU_SID, &id), -EEXIST, "... in another vIOMMU");
    if (u->n_devices > 1) {
        tap_is(uapi_vdevice(u, viommu, 1, VSMMU_SID, &id), -EEXIST,
               "a second one of the StreamID");
        tap_is(uapi_vdevice(u, second, 1, VSMMU_SID, &id), 0, "... in another vIOMMU");
        uapi_destroy(u, id);
    }
    tap_is(uapi_destroy(u, viommu), -EBUSY, "a vIOMMU with a vDEVICE stays");
    tap_is(uapi_destroy(u, vdevice), 0, "a vDEVICE goes");
    tap_is(uapi_vdevice(u, viommu, 0, 0xffffffffffull, &vdevice), 0,
           "a virtual ID beyond 32 bits");
    tap_is(uapi_destroy(u, vdevice), 0, "... goes, too");
    tap_is(uapi_destroy(u, viommu), 0, "and then the vIOMMU");
}

static void test_veventq(Uapi *u)
{
    const guint32 type = IOMMU_VEVENTQ_TYPE_ARM_SMMUV3;
    guint8 buffer[256];
    guint32 queue = 0, id = 0;
    int fd = -1, other = -1;
    Vsmmu v;
    struct pollfd poll = {.events = POLLIN | POLLOUT};

    vsmmu_init(&v, u);
    tap_is(uapi_veventq(u, v.viommu, IOMMU_VEVENTQ_TYPE_DEFAULT, 8, &id, &fd), -EOPNOTSUPP,
           "a vEVENTQ of no type");
    tap_is(uapi_veventq(u, v.viommu, type, 0, &id, &fd), -EINVAL, "a vEVENTQ for nothing");
    tap_is(uapi_veventq(u, v.viommu, type, (1 << 19) + 1, &id, &fd), -EINVAL,
           "a vEVENTQ too deep");
    tap_is(uapi_veventq(u, UAPI_NO_ID, type, 8, &id, &fd), -ENOENT, "a vEVENTQ of nothing");
    tap_is(uapi_veventq(u, v.parent, type, 8, &id, &fd), -ENOENT, "a vEVENTQ of a parent");
    tap_is(uapi_veventq(u, v.viommu, type, 8, &queue, &fd), 0, "a vEVENTQ");
    tap_is(uapi_veventq(u, v.viommu, type, 8, &id, &other), -EEXIST, "... and no second");
    poll.fd = fd;
    tap_is(u->seam->ops->poll(u->seam->data, &poll, 1, 0), 0, "nothing waits in it");
    tap_is(u->seam->ops->read(u->seam->data, fd, buffer, sizeof buffer), 0,
           "nothing is read");
    tap_is(u->seam->ops->read(u->seam->data, fd, buffer, 7), -EINVAL,
           "not even a header has room");
    tap_is(uapi_destroy(u, queue), -EBUSY, "open, it stays");
    tap_is(uapi_destroy(u, v.viommu), -EBUSY, "... its vIOMMU, too");
    uapi_close(u, fd);
    tap_is(uapi_destroy(u, queue), 0, "closed, it goes");
    tap_is(uapi_veventq(u, v.viommu, type, 1 << 19, &queue, &fd), 0, "the deepest vEVENTQ");
    uapi_close(u, fd);
}

/* --- stream table entries ---------------------------------------------------------------
 */

/* Which bits may differ from this entry, in one of its words. */
static guint64 ste_mask(Uapi *u, guint32 viommu, guint64 word0, guint64 word1, guint word)
{
    guint64 mask = 0;

    for (guint bit = 0; bit < 64; bit++) {
        guint64 words[2] = {word0, word1};
        guint32 id = 0;
        int ret;

        words[word] ^= BIT(bit);
        ret = vsmmu_nested(u, 0, viommu, words[0], words[1], &id);
        if (ret == 0) {
            mask |= BIT(bit);
            uapi_destroy(u, id);
        } else if (ret != -EIO) {
            tap_note("bit %u of word %u: errno %d", bit, word, -ret);
            return 0;
        }
    }
    return mask;
}

static void test_ste(Uapi *u)
{
    /* V, Config to abort or bypass, S1Fmt, S1ContextPtr, S1CDMax */
    const guint64 word0 = BIT(0) | BITS(5, 4) | BITS(51, 6) | BITS(63, 59);
    /* S1DSS, S1CIR, S1COR, S1CSH, S1STALLD, EATS to full */
    const guint64 word1 = BITS(7, 0) | BIT(27) | BIT(28);
    guint64 data[4] = {GUINT64_TO_LE(STE_BYPASS)};
    guint32 id = 0;
    Vsmmu v;

    vsmmu_init(&v, u);
    tap_is(ste_mask(u, v.viommu, STE_S1, 0, 0), word0 | BIT(1), "bits of a stage 1 STE");
    tap_is(ste_mask(u, v.viommu, STE_S1, 0, 1), word1, "... its second word");
    tap_is(ste_mask(u, v.viommu, STE_BYPASS, 0, 0), word0 | BIT(1) | BIT(3),
           "bits of a bypass STE");
    tap_is(ste_mask(u, v.viommu, STE_BYPASS, 0, 1), word1, "... its second word");
    tap_is(ste_mask(u, v.viommu, STE_ABORT, 0, 0), word0 | BIT(3), "bits of an abort STE");
    tap_is(ste_mask(u, v.viommu, STE_ABORT, 0, 1), word1, "... its second word");
    tap_is(ste_mask(u, v.viommu, 0, 0, 0), G_MAXUINT64, "bits of an invalid STE");
    for (guint config = 0; config < 8; config++)
        tap_is(vsmmu_nested(u, 0, v.viommu, 1 | config << 1, 0, &id),
               config == 0 || config == 4 || config == 5 ? 0 : -EIO, "an STE of Config %u",
               config);
    for (guint64 eats = 0; eats < 4; eats++)
        tap_is(vsmmu_nested(u, 0, v.viommu, STE_S1, eats << 28, &id), eats < 2 ? 0 : -EIO,
               "an STE of EATS %u", (guint)eats);
    tap_is(vsmmu_nested(u, 0, v.viommu, BITS(63, 1), G_MAXUINT64, &id), 0,
           "an invalid STE may say anything");
    tap_is(uapi_hwpt(u, 0, v.viommu, 0, IOMMU_HWPT_DATA_ARM_SMMUV3, data, 15, &id), -EINVAL,
           "an STE too small");
    tap_is(uapi_hwpt(u, 0, v.viommu, 0, IOMMU_HWPT_DATA_ARM_SMMUV3, data, 32, &id), -EINVAL,
           "an STE larger, with nothing to say");
    tap_is(uapi_hwpt(u, 0, v.viommu, 0, IOMMU_HWPT_DATA_ARM_SMMUV3, NULL, 16, &id), -EFAULT,
           "an STE at NULL");
    tap_is(uapi_hwpt(u, 0, v.viommu, 0, IOMMU_HWPT_DATA_VTD_S1, data, 24, &id), -EINVAL,
           "an STE that is a PASID entry");
    tap_is(uapi_hwpt(u, 0, v.viommu, IOMMU_HWPT_ALLOC_PASID, IOMMU_HWPT_DATA_ARM_SMMUV3,
                     data, 16, &id),
           -EOPNOTSUPP, "an STE for PASIDs");
    tap_is(uapi_hwpt(u, 0, v.viommu, IOMMU_HWPT_ALLOC_NEST_PARENT,
                     IOMMU_HWPT_DATA_ARM_SMMUV3, data, 16, &id),
           -EOPNOTSUPP, "an STE for a parent");
    tap_is(uapi_hwpt(u, 0, v.viommu, IOMMU_HWPT_FAULT_ID_VALID, IOMMU_HWPT_DATA_ARM_SMMUV3,
                     data, 16, &id),
           -ENOENT, "an STE with a fault queue that is not there");
    tap_is(uapi_paging(u, 0, v.viommu, 0, &id), -EOPNOTSUPP, "no STE");
}

/* --- commands ---------------------------------------------------------------------------
 */

/* Which bits may differ from this command, in one of its words. */
static guint64 command_mask(Uapi *u, guint32 viommu, guint64 word0, guint64 word1,
                            guint word)
{
    guint64 mask = 0;

    for (guint bit = 0; bit < 64; bit++) {
        guint64 words[2] = {word0, word1};
        int ret;

        words[word] ^= BIT(bit);
        ret = vsmmu_command(u, viommu, words[0], words[1]);
        if (ret == 0) {
            mask |= BIT(bit);
        } else if (ret != -EIO) {
            tap_note("bit %u of word %u: errno %d", bit, word, -ret);
            return 0;
        }
    }
    return mask;
}

typedef struct {
    const char *name;
    guint64 word0, word1;
    guint64 allowed[2];
} Opcode;

/* The bits of the opcode itself lead to other opcodes: they are left alone. */
static void test_opcode(Uapi *u, const Vsmmu *v, const Opcode *op)
{
    tap_is(vsmmu_command(u, v->viommu, op->word0, op->word1), 0, "%s", op->name);
    tap_is(command_mask(u, v->viommu, op->word0, op->word1, 0) & ~BITS(7, 0),
           op->allowed[0], "... bits of its first word");
    tap_is(command_mask(u, v->viommu, op->word0, op->word1, 1), op->allowed[1],
           "... bits of its second word");
}

static void test_tlbi(Uapi *u)
{
    guint64 asid, vmid = BITS(47, 32);
    Vsmmu v;

    vsmmu_init(&v, u);
    asid = v.idr[0] & BIT(12) ? BITS(63, 48) : BITS(55, 48);
    {
        const Opcode ops[] = {
            {"TLBI_NSNH_ALL", 0x30, 0, {0, 0}},
            {"TLBI_NH_ALL", 0x10, 0, {vmid, 0}},
            {"TLBI_NH_ASID", 0x11, 0, {vmid | asid, 0}},
            {"TLBI_NH_VA", 0x12, 0, {vmid | asid, BIT(0) | BITS(63, 12)}},
            {"TLBI_NH_VAA", 0x13, 0, {vmid, BIT(0) | BITS(63, 12)}},
        };

        for (guint i = 0; i < G_N_ELEMENTS(ops); i++)
            test_opcode(u, &v, &ops[i]);
    }
}

/* TG, NUM, SCALE and TTL together; on an SMMU without ranges, all refused. */
static void test_range(Uapi *u)
{
    gboolean ril;
    Vsmmu v;

    vsmmu_init(&v, u);
    ril = !!(v.idr[3] & BIT(10));
    for (guint64 tg = 0; tg < 4; tg++)
        for (guint64 num = 0; num < 2; num++)
            for (guint64 ttl = 0; ttl < 2; ttl++) {
                gboolean ok =
                    tg ? ril && (num || ttl) && !(tg == 2 && ttl == 1) : !num && !ttl;

                tap_is(vsmmu_command(u, v.viommu, 0x12 | num << 12, tg << 10 | ttl << 8),
                       ok ? 0 : -EIO, "TLBI_NH_VA of TG %u, NUM %u, TTL %u", (guint)tg,
                       (guint)num, (guint)ttl);
            }
    tap_is(vsmmu_command(u, v.viommu, 0x12 | BIT(24), BIT(10)), ril ? 0 : -EIO, "SCALE 16");
    tap_is(vsmmu_command(u, v.viommu, 0x12 | BIT(25), BIT(10)), -EIO,
           "SCALE 32, without 52-bit addresses");
}

static void test_cfgi(Uapi *u)
{
    guint64 sid = (guint64)VSMMU_SID << 32, ssid, atc;
    Vsmmu v;

    vsmmu_init(&v, u);
    ssid = v.idr[1] & BITS(10, 6) ? BITS(31, 12) : 0;
    tap_is(vsmmu_command(u, v.viommu, 0x05 | sid, 1), 0, "CFGI_CD");
    /* Other StreamIDs are unknown; but that of the second device is one bit away. */
    tap_is(command_mask(u, v.viommu, 0x05 | sid, 0, 0) & ~BITS(7, 0),
           ssid | (u->n_devices > 1 ? BIT(32) : 0), "... bits of its first word");
    tap_is(command_mask(u, v.viommu, 0x05 | sid, 0, 1), BIT(0), "... of its second word");
    tap_is(vsmmu_command(u, v.viommu, 0x06 | sid, 0), 0, "CFGI_CD_ALL");
    tap_is(command_mask(u, v.viommu, 0x06 | sid, 0, 0) & ~BITS(7, 0),
           u->n_devices > 1 ? BIT(32) : 0, "... bits of its first word");
    tap_is(command_mask(u, v.viommu, 0x06 | sid, 0, 1), 0, "... of its second word");
    tap_is(vsmmu_command(u, v.viommu, 0x06 | BITS(63, 32), 0), -EIO,
           "CFGI_CD_ALL of a StreamID that is not there");
    atc = v.idr[0] & BIT(10) ? 0 : (guint64)-EIO;
    tap_is(vsmmu_command(u, v.viommu, 0x40 | sid, 52), atc, "ATC_INV, where there is ATS");
    tap_is(vsmmu_command(u, v.viommu, 0x40 | sid, 53), -EIO, "ATC_INV of Size 53");
    tap_is(vsmmu_command(u, v.viommu, 0x40 | 7ull << 40, 52), -EIO,
           "ATC_INV of a StreamID that is not there");
}

static void test_opcodes(Uapi *u)
{
    const guint8 known[] = {0x05, 0x06, 0x10, 0x11, 0x12, 0x13, 0x30, 0x40};
    guint wrong = 0;
    Vsmmu v;

    vsmmu_init(&v, u);
    for (guint op = 0; op < 256; op++) {
        gboolean is_known = memchr(known, (int)op, sizeof known) != NULL;

        if (!is_known && vsmmu_command(u, v.viommu, op, 0) != -EIO) {
            tap_note("opcode 0x%02x", op);
            wrong++;
        }
    }
    tap_is(wrong, 0, "every other opcode is refused");
}

static void test_batches(Uapi *u)
{
    enum { N = 200 };
    struct iommu_viommu_arm_smmuv3_invalidate commands[N];
    struct {
        guint64 command[2], more;
    } large[2] = {{{GUINT64_TO_LE(0x30), 0}, 0}, {{GUINT64_TO_LE(0x30), 0}, 0}};
    const guint64 words[2] = {GUINT64_TO_LE(0x30), GUINT64_TO_LE(0x30)};
    guint32 n = 0;
    Vsmmu v;

    vsmmu_init(&v, u);
    for (guint i = 0; i < N; i++)
        commands[i].cmd[0] = GUINT64_TO_LE(0x30), commands[i].cmd[1] = 0;
    tap_is(uapi_invalidate(u, v.viommu, ARM_COMMANDS, commands, 16, &n), -EINVAL,
           "no commands at all");
    n = N;
    tap_is(uapi_invalidate(u, v.viommu, ARM_COMMANDS, commands, 16, &n), 0, "200 commands");
    tap_is(n, N, "... all handled");
    for (guint bad = 0; bad < N; bad += 63) {
        commands[bad].cmd[1] = GUINT64_TO_LE(2);
        n = N;
        tap_is(uapi_invalidate(u, v.viommu, ARM_COMMANDS, commands, 16, &n), -EIO,
               "number %u is bad", bad);
        tap_is(n, bad, "... those before are counted");
        commands[bad].cmd[1] = 0;
    }
    n = 1;
    tap_is(
        uapi_invalidate(u, v.viommu, IOMMU_HWPT_INVALIDATE_DATA_VTD_S1, commands, 16, &n),
        -EINVAL, "commands of another type");
    tap_is(n, 0, "... are not counted");
    n = 2;
    tap_is(uapi_invalidate(u, v.viommu, ARM_COMMANDS, large, sizeof large[0], &n), 0,
           "entries larger, with nothing to say");
    tap_is(n, 2, "... all handled");
    large[1].more = 1;
    n = 2;
    tap_is(uapi_invalidate(u, v.viommu, ARM_COMMANDS, large, sizeof large[0], &n), -E2BIG,
           "... with more to say");
    tap_is(n, 0, "... none handled, not the one before either");
    n = 2;
    tap_is(uapi_invalidate(u, v.viommu, ARM_COMMANDS, words, 8, &n), 0,
           "entries smaller, the rest being zero");
    tap_is(n, 2, "... all handled");
    n = 1;
    tap_is(uapi_invalidate(u, v.viommu, ARM_COMMANDS, (void *)64, 16, &n), -EFAULT,
           "entries that are no memory");
    n = 1;
    tap_is(uapi_invalidate(u, v.parent, ARM_COMMANDS, commands, 16, &n), -EINVAL,
           "commands to a parent");
    n = 1;
    tap_is(uapi_invalidate(u, v.vdevices[0], ARM_COMMANDS, commands, 16, &n), -EINVAL,
           "commands to a vDEVICE");
    {
        guint32 nested = 0;

        vsmmu_nested(u, 0, v.viommu, STE_ABORT, 0, &nested);
        n = 1;
        tap_is(uapi_invalidate(u, nested, ARM_COMMANDS, commands, 16, &n), -EOPNOTSUPP,
               "commands to a nested HWPT");
    }
}

/* --- attach and tear-down ---------------------------------------------------------------
 */

static void test_attach(Uapi *u)
{
    guint32 abort_id = 0, bypass = 0, nested = 0;
    Vsmmu v;

    vsmmu_init(&v, u);
    vsmmu_nested(u, 0, v.viommu, STE_ABORT, 0, &abort_id);
    vsmmu_nested(u, 0, v.viommu, STE_BYPASS, 0, &bypass);
    vsmmu_nested(u, 0, v.viommu, STE_S1 | u->spare, 0, &nested);
    tap_is(uapi_destroy(u, v.vdevices[0]), 0, "without a vDEVICE");
    tap_is(uapi_attach_to(u, 0, nested), -ENOENT, "... nothing to translate");
    tap_is(uapi_attach_to(u, 0, abort_id), 0, "... but abort");
    tap_is(uapi_attach_to(u, 0, nested), -ENOENT, "... nor after it");
    tap_is(uapi_destroy(u, abort_id), -EBUSY, "... which is still attached");
    tap_is(uapi_attach_to(u, 0, bypass), 0, "... and bypass");
    tap_is(uapi_vdevice(u, v.viommu, 0, VSMMU_SID, &v.vdevices[0]), 0,
           "a vDEVICE while attached");
    tap_is(uapi_attach_to(u, 0, nested), 0, "translate");
    tap_is(uapi_destroy(u, bypass), 0, "... leaves bypass");
    tap_is(uapi_destroy(u, nested), -EBUSY, "an attached HWPT stays");
    tap_is(uapi_destroy(u, v.viommu), -EBUSY, "... and its vIOMMU");
    tap_is(uapi_destroy(u, v.parent), -EBUSY, "... and its parent");
    tap_is(uapi_destroy(u, u->ioas), -EBUSY, "... and the IOAS");
    tap_is(uapi_destroy(u, v.vdevices[0]), 0, "... but not the vDEVICE");
    tap_is(uapi_attach_to(u, 0, v.parent), 0, "replace by the parent");
    tap_is(uapi_detach(u, 0), 0, "detach");
    tap_is(uapi_destroy(u, nested), 0, "the nested HWPT goes");
    tap_is(uapi_destroy(u, abort_id), 0, "abort goes");
    if (u->n_devices > 1)
        uapi_destroy(u, v.vdevices[1]);
    tap_is(uapi_destroy(u, v.viommu), 0, "the vIOMMU goes");
    tap_is(uapi_destroy(u, v.parent), 0, "the parent goes");
    tap_is(uapi_destroy(u, u->ioas), 0, "the IOAS goes");
}

/* A cdev closed first takes its vDEVICE along and leaves the ID unusable. */
static void test_tombstone(Uapi *u)
{
    guint32 id = 0, next = 0;
    Vsmmu v;

    vsmmu_init(&v, u);
    uapi_close(u, u->cdevs[0]);
    tap_is(uapi_destroy(u, v.vdevices[0]), -ENOENT, "closing a cdev destroys its vDEVICE");
    u->cdevs[0] = uapi_cdev_open(u, 0);
    tap_is(uapi_bind(u, u->cdevs[0], u->fd, &id), 0, "bind it again");
    tap_is(id, u->devices[0], "... under its ID");
    tap_is(uapi_vdevice(u, v.viommu, 0, VSMMU_SID, &next), 0, "a vDEVICE of it");
    tap_ok(next > v.vdevices[0], "... under another ID");
    tap_is(uapi_destroy(u, next), 0, "... goes");
    uapi_ioas_alloc(u, &id);
    tap_is(id, next, "... and leaves its ID free");
    if (u->n_devices > 1)
        uapi_destroy(u, v.vdevices[1]);
    tap_is(uapi_destroy(u, v.viommu), 0, "the vIOMMU was left");
}

int main(int argc, char **argv)
{
    static const UapiTest tests[] = {
        test_parent, test_viommu, test_vdevice, test_veventq, test_ste,    test_tlbi,
        test_range,  test_cfgi,   test_opcodes, test_batches, test_attach, test_tombstone,
    };

    return uapi_main(argc, argv, IOMMU_HW_INFO_TYPE_ARM_SMMUV3, tests, G_N_ELEMENTS(tests));
}
