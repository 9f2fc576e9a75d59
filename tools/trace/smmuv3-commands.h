/* SPDX-License-Identifier: MIT */
#ifndef TRACE_SMMUV3_COMMANDS_H
#define TRACE_SMMUV3_COMMANDS_H

#include "smmuv3-tables.h"
#include "unmapped.h"

/*
 * The commands of a recorded SMMUv3 guest, as far as they make cached translations go: read
 * from the queue, and told to unmapped.c as the device consumes them.
 */
typedef struct Smmuv3Commands Smmuv3Commands;

extern const TraceUnmappedOps smmuv3_unmapped_ops;

/* Both are the caller's and outlive it. */
Smmuv3Commands *smmuv3_commands_new(const Smmuv3Tables *tables, TraceUnmapped *unmapped);
void smmuv3_commands_free(Smmuv3Commands *commands);

/*
 * The device is about to see commands up to here: CMDQ_PROD. They are read now, as a SYNC
 * may be told to write where it stands.
 */
void smmuv3_commands_ring(Smmuv3Commands *commands, guint32 cmdq_prod);
/* And it has consumed them up to here: CMDQ_CONS. */
void smmuv3_commands_consumed(Smmuv3Commands *commands, guint32 cmdq_cons);
/* The guest has set CMDQ_CONS itself. */
void smmuv3_commands_restart(Smmuv3Commands *commands, guint32 cmdq_cons);

#endif
