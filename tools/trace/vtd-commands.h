/* SPDX-License-Identifier: MIT */
#ifndef TRACE_VTD_COMMANDS_H
#define TRACE_VTD_COMMANDS_H

#include "unmapped.h"
#include "vtd-tables.h"

/*
 * The invalidations of a recorded VT-d guest, by queue or by register: read before the
 * device sees them, and told to unmapped.c, and to whoever asks, as it carries them out.
 */
typedef struct VtdCommands VtdCommands;

extern const TraceUnmappedOps vtd_unmapped_ops;

/* Words of an invalidation descriptor (6.5.2); the others are reserved. */
#define VTD_DESCRIPTOR_WORDS 2

/* A context or PASID cache invalidation was carried out. */
typedef void (*VtdCommandsFunc)(const guint64 descriptor[VTD_DESCRIPTOR_WORDS],
                                gpointer user_data);

/* Tables and unmapped are the caller's and outlive it. */
VtdCommands *vtd_commands_new(const VtdTables *tables, TraceUnmapped *unmapped,
                              VtdCommandsFunc func, gpointer user_data);
void vtd_commands_free(VtdCommands *commands);

/* The device is about to see what is between these: IQH and IQT. */
void vtd_commands_ring(VtdCommands *commands, guint64 iqh, guint64 iqt);
/* And it has come this far: IQH. */
void vtd_commands_consumed(VtdCommands *commands, guint64 iqh);
/* It has completed what CCMD_REG, or IOTLB_REG and IVA_REG, ask for. */
void vtd_commands_context_register(VtdCommands *commands);
void vtd_commands_iotlb_register(VtdCommands *commands);

/* A context or PASID cache invalidation is about this device, which has this entry. */
gboolean vtd_commands_concern(const guint64 descriptor[VTD_DESCRIPTOR_WORDS],
                              guint16 requester_id, const VtdEntry *entry);

/* What stands in the queue between two offsets; of guint64[VTD_DESCRIPTOR_WORDS]. */
GArray *vtd_commands_read(const VtdTables *tables, guint64 iqh, guint64 iqt);
/* An invalidation wait that writes its status: where (6.5.2.8). */
gboolean vtd_commands_writes_status(const guint64 descriptor[VTD_DESCRIPTOR_WORDS],
                                    guint64 *ret_gpa);

#endif
