/* SPDX-License-Identifier: MIT */
/*
 * The command queue (Arm IHI 0070, 3.5, chapter 4, 7.1): commands in order, each fetched
 * once, with the software caches invalidated and the rest forwarded.
 *
 * Invalidations are gathered into a *run*, which is carried out at a boundary: a SYNC, a
 * command about stream table entries, an error, or the end of what was fetched. A run is
 * contiguous in the queue, so that the index of a command in it is its index in the queue;
 * PREFETCHes ride along. First the software caches go, within a change, which also waits
 * for the read sections that a SYNC owes; then the run goes to the host in one call.
 *
 * CMDQ_CONS counts what is done. When a command fails, all before it is done:
 * - illegal, or refused by the host as the guest's fault: CERROR_ILL at its index;
 * - the queue is not in memory: CERROR_ABT;
 * - the host could not do it for now: CERROR_ABT too, which has a guest acknowledge and the
 *   command fetched and tried again. Nothing has told the guest that it is done.
 * - the host will never do it: host devices are blocked until a reset, so that nothing
 *   stale is used, the guest is told by an event for each, and the queue goes on.
 * CERROR_ABT would have it try for ever.
 *
 * Bounded: a doorbell consumes what CMDQ_PROD said when it was rung, at most one queue.
 *
 * Up the path: registers.c. Down the path: the accel layer, stream-table.c, translate.c.
 */

#include "vsmmu.h"

#include <string.h>

enum { MAX_FETCH = 256 };

/* Commands fetched at once; [0, done) are done, CMDQ_CONS says so. */
typedef struct {
    ViommuSmmuv3 *smmu;
    guint8 bytes[MAX_FETCH * VIOMMU_SMMUV3_COMMAND_SIZE];
    guint n;
    guint done;
    guint error; /* CERROR_NONE, or why commands[done] stops the queue */
} Run;

/* --- the queue --------------------------------------------------------------------------
 */

/* LOG2SIZE beyond IDR1.CMDQS is taken for that (6.3.26). */
static guint queue_bits(const ViommuiSmmuv3Registers *regs)
{
    return MIN(viommui_field_get(regs->cmdq_base, QUEUE_BASE_LOG2SIZE),
               viommui_field_get(regs->idr[1], IDR1_CMDQS));
}

/* How many wait; indices no guest can mean are bounded by the queue. */
static guint count_waiting(const ViommuiSmmuv3Registers *regs)
{
    guint bits = queue_bits(regs);
    guint32 n = (regs->cmdq_prod - regs->cmdq_cons) & ((2u << bits) - 1);

    return MIN(n, 1u << bits);
}

static void advance(ViommuiSmmuv3Registers *regs, guint n)
{
    guint32 index = (regs->cmdq_cons + n) & ((2u << queue_bits(regs)) - 1);

    regs->cmdq_cons = viommui_field_set(regs->cmdq_cons, QUEUE_INDEX, index);
}

static gboolean read_commands(ViommuSmmuv3 *smmu, guint at, guint n, guint8 *ret_bytes)
{
    const ViommuServices *services = &smmu->config.services;
    guint64 base = viommui_field_get(smmu->regs.cmdq_base, QUEUE_BASE_ADDR)
                   << QUEUE_BASE_ADDR.shift;
    guint bits = queue_bits(&smmu->regs);

    /* Address bits below the queue's size, and below 32 bytes, count as 0. */
    base &= ~(((guint64)VIOMMU_SMMUV3_COMMAND_SIZE << bits) - 1);
    return services->read_memory(base + (guint64)at * VIOMMU_SMMUV3_COMMAND_SIZE, ret_bytes,
                                 (gsize)n * VIOMMU_SMMUV3_COMMAND_SIZE,
                                 services->user_data);
}

/* Up to `max` commands from CMDQ_CONS on, fewer where the queue's memory ends. */
static void fetch(Run *run, guint max)
{
    const ViommuiSmmuv3Registers *regs = &run->smmu->regs;
    guint size = 1u << queue_bits(regs);
    guint at = regs->cmdq_cons & (size - 1);

    run->n = MIN(MIN(max, MAX_FETCH), size - at);
    run->done = 0;
    run->error = CERROR_NONE;
    if (read_commands(run->smmu, at, run->n, run->bytes))
        return;
    /* Nothing of it counts as fetched; one by one, to find where it ends. */
    for (guint i = 0; i < run->n; i++) {
        if (!read_commands(run->smmu, at + i, 1,
                           run->bytes + i * VIOMMU_SMMUV3_COMMAND_SIZE))
            run->n = i;
    }
}

static void stop(ViommuSmmuv3 *smmu, guint error)
{
    ViommuiSmmuv3Registers *regs = &smmu->regs;

    regs->cmdq_cons = viommui_field_set(regs->cmdq_cons, CMDQ_CONS_ERR, error);
    g_mutex_lock(&smmu->event_lock);
    viommui_smmuv3_raise_gerror(smmu, viommui_field_mask(GERROR_CMDQ_ERR));
    g_mutex_unlock(&smmu->event_lock);
}

/* --- invalidations ----------------------------------------------------------------------
 */

static ViommuiCommand decode(const Run *run, guint i, guint64 ret_words[2])
{
    const guint8 *bytes = run->bytes + i * VIOMMU_SMMUV3_COMMAND_SIZE;
    ViommuiCommand command = viommui_smmuv3_decode_command(run->smmu->regs.idr, bytes);

    memcpy(ret_words, bytes, VIOMMU_SMMUV3_COMMAND_SIZE);
    ret_words[0] = GUINT64_FROM_LE(ret_words[0]);
    ret_words[1] = GUINT64_FROM_LE(ret_words[1]);
    if (command.opcode == CMD_SYNC &&
        viommui_field_get(ret_words[0], CMD0_SYNC_CS) == CS_RESERVED) {
        command.kind = VIOMMUI_COMMAND_ILLEGAL;
        command.why = "SYNC.CS";
    }
    return command;
}

static void invalidate_cd(ViommuSmmuv3 *smmu, const ViommuiCommand *command, guint64 word0)
{
    guint32 ssid = command->opcode == CMD_CFGI_CD ? viommui_field_get(word0, CMD0_SSID)
                                                  : VIOMMU_SMMUV3_NO_SUBSTREAM;

    viommui_smmuv3_forget_cd(smmu, command->sid, ssid);
}

/* Within a change. */
static void invalidate_software(Run *run, guint i)
{
    guint64 raw[2];
    ViommuiCommand command = decode(run, i, raw);
    const guint64 words[2] = {GUINT64_FROM_LE(command.words[0]),
                              GUINT64_FROM_LE(command.words[1])};

    if (command.kind == VIOMMUI_COMMAND_TLBI)
        viommui_smmuv3_invalidate_iotlb(run->smmu, command.opcode, words);
    else if (command.kind == VIOMMUI_COMMAND_CFGI)
        invalidate_cd(run->smmu, &command, words[0]);
    else if (command.kind == VIOMMUI_COMMAND_ATC_INV)
        viommui_smmuv3_invalidate_atc(run->smmu, words);
}

static void complete(Run *run, guint end)
{
    advance(&run->smmu->regs, end - run->done);
    run->done = end;
}

/* The host has refused commands[run->done]; TRUE: the queue goes on. */
static gboolean survive(Run *run, ViommuResult result)
{
    switch (result) {
    case VIOMMU_OK:
        return TRUE;
    case VIOMMU_GUEST_INVALID:
        run->error = CERROR_ILL;
        return FALSE;
    case VIOMMU_TRANSIENT:
        run->error = CERROR_ABT;
        return FALSE;
    case VIOMMU_UNSUPPORTED:
    case VIOMMU_HOST_GONE:
        break;
    }
    viommui_smmuv3_lose_streams(run->smmu);
    return TRUE;
}

/* Carry out the run up to `end` (not included). FALSE: the queue stops. */
static gboolean carry_out(Run *run, guint end)
{
    ViommuSmmuv3 *smmu = run->smmu;
    gsize handled = end - run->done;
    ViommuResult result = VIOMMU_OK;

    if (end == run->done)
        return TRUE;
    viommui_smmuv3_begin_change(smmu);
    for (guint i = run->done; i < end; i++)
        invalidate_software(run, i);
    viommui_smmuv3_end_change(smmu);
    if (smmu->accel)
        result = viommu_smmuv3_accel_invalidate(
            smmu->accel, run->bytes + run->done * VIOMMU_SMMUV3_COMMAND_SIZE, handled,
            &handled);
    if (!survive(run, result)) {
        complete(run, run->done + (guint)handled);
        return FALSE;
    }
    complete(run, end);
    return TRUE;
}

/* --- commands that end a run ------------------------------------------------------------
 */

/* 4.3.1, 4.3.2: both ends inclusive. */
static void get_range(const ViommuiCommand *command, guint64 word1, guint32 *ret_first,
                      guint32 *ret_last)
{
    guint range = viommui_field_get(word1, CMD1_RANGE);
    guint32 mask = range == RANGE_ALL ? G_MAXUINT32 : (2u << range) - 1;

    if (command->opcode == CMD_CFGI_STE)
        mask = 0;
    *ret_first = command->sid & ~mask;
    *ret_last = command->sid | mask;
}

static void invalidate_stes(Run *run, const ViommuiCommand *command, guint64 word1)
{
    ViommuSmmuv3 *smmu = run->smmu;
    guint32 first, last;

    get_range(command, word1, &first, &last);
    viommui_smmuv3_begin_change(smmu);
    viommui_smmuv3_forget_streams(smmu, first, last);
    viommui_smmuv3_end_change(smmu);
    /* With SMMUEN 0 no entry is looked at. What goes wrong is an event, not an error. */
    if (smmu->accel && viommui_field_get(smmu->regs.cr0, CR0_SMMUEN)) {
        if (first == last)
            viommui_smmuv3_refresh_stream(smmu, first);
        else
            viommui_smmuv3_refresh_streams(smmu, first, last);
    }
    complete(run, run->done + 1);
}

/* 4.7.3. SEV needs nothing: the guest sees it done when it runs again. */
static void signal_sync(ViommuSmmuv3 *smmu, const guint64 words[2])
{
    const ViommuServices *services = &smmu->config.services;
    guint64 address = viommui_field_get(words[1], CMD1_SYNC_MSIADDR)
                      << CMD1_SYNC_MSIADDR.shift;

    if (viommui_field_get(words[0], CMD0_SYNC_CS) != CS_SIG_IRQ)
        return;
    if (!address || !viommui_field_get(smmu->regs.idr[0], IDR0_MSI))
        services->pulse_irq(VIOMMU_SMMUV3_IRQ_CMDQ_SYNC, services->user_data);
    else if (!services->send_msi(address, viommui_field_get(words[0], CMD0_SYNC_MSIDATA),
                                 services->user_data))
        viommui_smmuv3_msi_aborted(smmu, GERROR_MSI_CMDQ_ABT_ERR);
}

static gboolean refuse(Run *run, const ViommuiCommand *command)
{
    if (run->smmu->host)
        viommui_refuse(run->smmu->host, NULL, VIOMMU_GUEST_INVALID,
                       "the command at CMDQ_CONS 0x%x, opcode 0x%02x, is illegal: %s",
                       (guint32)viommui_field_get(run->smmu->regs.cmdq_cons, QUEUE_INDEX),
                       command->opcode, command->why);
    run->error = CERROR_ILL;
    return FALSE;
}

/* commands[i], and whatever it ends. FALSE: the queue stops. */
static gboolean execute(Run *run, guint i)
{
    guint64 words[2];
    ViommuiCommand command = decode(run, i, words);

    switch (command.kind) {
    case VIOMMUI_COMMAND_TLBI:
    case VIOMMUI_COMMAND_CFGI:
    case VIOMMUI_COMMAND_ATC_INV:
        return TRUE;
    case VIOMMUI_COMMAND_COMPLETE:
        if (command.opcode != CMD_SYNC)
            return TRUE;
        /* It rides along, so that the host's put-off changes are tried again. */
        if (!carry_out(run, i + 1))
            return FALSE;
        signal_sync(run->smmu, words);
        return TRUE;
    case VIOMMUI_COMMAND_CFGI_STE:
        if (!carry_out(run, i))
            return FALSE;
        invalidate_stes(run, &command, words[1]);
        return TRUE;
    case VIOMMUI_COMMAND_ILLEGAL:
        break;
    }
    return carry_out(run, i) && refuse(run, &command);
}

static gboolean may_run(const ViommuiSmmuv3Registers *regs)
{
    return viommui_field_get(regs->cr0, CR0_CMDQEN) &&
           !viommui_field_get(regs->gerror ^ regs->gerrorn, GERROR_CMDQ_ERR);
}

void viommui_smmuv3_run_commands(ViommuSmmuv3 *smmu)
{
    guint waiting = may_run(&smmu->regs) ? count_waiting(&smmu->regs) : 0;
    Run run = {.smmu = smmu};

    while (waiting && run.error == CERROR_NONE) {
        gboolean going = TRUE;

        fetch(&run, waiting);
        for (guint i = 0; i < run.n && going; i++)
            going = execute(&run, i);
        if (going)
            going = carry_out(&run, run.n);
        if (going && run.n == 0)
            run.error = CERROR_ABT;
        waiting -= run.done;
    }
    if (run.error != CERROR_NONE)
        stop(smmu, run.error);
}
