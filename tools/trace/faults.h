/* SPDX-License-Identifier: MIT */
#ifndef TRACE_FAULTS_H
#define TRACE_FAULTS_H

#include "vendor.h"

/*
 * F lines held against the faults that the device tells its guest of.
 *
 * A recorder may write F with or without an A beside it, before or after, with more or less
 * about the fault. So: an F takes a fault of its device (and type and page, if it says
 * them) that no other F has taken; if there is none, and it names an address, that is asked
 * for; if it names none but any address would do, address 0; else it waits for an A to
 * bring the fault. What still waits when the guest goes on is excused: nothing says what to
 * ask for.
 *
 * The text of an F is "[type] [iova] [w]" or "[iova] [type] [w]", as far as it goes, the
 * type by name or number; words in between may say what the next number is.
 */
typedef struct TraceFaults TraceFaults;

typedef struct {
    guint32 sid;
    guint type; /* TRACE_FAULT_ANY: not known */
    gboolean has_iova;
    guint64 iova; /* its page */
} TraceFault;

#define TRACE_FAULT_ANY 0

typedef struct {
    /* Mandatory. TRACE_FAULT_ANY: not the name of a type. */
    guint (*find_type)(const char *name);
    /* Mandatory. Faults of this type do not depend on the address. */
    gboolean (*is_of_any_address)(guint type);
    /* Mandatory. And those only a write can have. */
    gboolean (*is_of_write)(guint type);
    /*
     * Optional. Why what the device told as one type may be recorded as another; NULL: it
     * may not. Static.
     */
    const char *(*is_also)(guint recorded, guint told);
    /* Mandatory. Tell trace_faults_told() of what the device has told since. */
    void (*collect)(TraceFaults *faults, gpointer device);
    /*
     * Mandatory. Why the device need not tell of a fault it has refused for; NULL: it must.
     * *ret_excused: since the guest has not made room, else since it has told already.
     */
    const char *(*is_silent)(const TraceFault *fault, gpointer device,
                             gboolean *ret_excused);
} TraceFaultsOps;

/* Make a transaction, for its fault's sake; NULL, or why it is not refused. Free it. */
typedef char *(*TraceFaultsProbe)(guint32 sid, guint64 iova, gboolean write,
                                  gpointer user_data);

TraceFaults *trace_faults_new(const TraceFaultsOps *ops, gpointer device,
                              TraceResult *result, TraceFaultsProbe probe,
                              gpointer user_data);
void trace_faults_free(TraceFaults *faults);

/* An F line. */
void trace_faults_expect(TraceFaults *faults, const TraceLine *line);
/* A transaction was refused: its fault, if any, is there for an F. */
void trace_faults_collect(TraceFaults *faults);
/* Faults that no F will speak of. */
void trace_faults_discard(TraceFaults *faults);
/*
 * The guest goes on, or there is no more: faults of one DMA stand beside each other, and
 * what has not met by now will not.
 */
void trace_faults_settle(TraceFaults *faults);

/* For collect(): one that the device told of. */
void trace_faults_told(TraceFaults *faults, const TraceFault *fault);

#endif
