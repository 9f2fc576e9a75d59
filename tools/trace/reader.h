/* SPDX-License-Identifier: MIT */
#ifndef TRACE_READER_H
#define TRACE_READER_H

#include <glib.h>

/*
 * Reads a recording of a guest, gzipped or plain, line by line: nothing but the line at
 * hand is in memory. The format, "viommu trace 1", one event a line:
 *
 *   # viommu trace 1          the first line
 *   # vendor NAME             before the first event
 *   # guest TEXT, # ...       for people
 *   R off size val            the guest read a register and got val
 *   W off size val            the guest wrote a register
 *   P gpa kind data           a page of guest memory: 8,192 hex digits, or 0 for all zero
 *   S gpa size val            the guest stored into such a page
 *   T sid iova gpa [extra]    a DMA was translated
 *   B sid iova [w]            bypassed: the device's own entry says so (w: 1 write)
 *   D sid iova [w]            bypassed: the IOMMU is disabled
 *   A sid iova [w]            aborted
 *   F sid [text...]           a fault was recorded
 *
 * Numbers are hexadecimal without prefix, sizes decimal. What does not read so is an error
 * that names file and line.
 */

#define TRACE_PAGE_SIZE 4096

typedef enum {
    TRACE_LINE_COMMENT = '#',
    TRACE_LINE_REGISTER_READ = 'R',
    TRACE_LINE_REGISTER_WRITE = 'W',
    TRACE_LINE_PAGE = 'P',
    TRACE_LINE_STORE = 'S',
    TRACE_LINE_TRANSLATED = 'T',
    TRACE_LINE_BYPASSED = 'B',
    TRACE_LINE_DISABLED = 'D',
    TRACE_LINE_ABORTED = 'A',
    TRACE_LINE_FAULT = 'F',
} TraceLineKind;

typedef struct {
    TraceLineKind kind;
    guint64 number;     /* of the line in the file, from 1 */
    guint64 address;    /* R, W: offset; P, S: gpa; T, B, D, A: iova */
    guint64 value;      /* R, W, S: the value; T: gpa */
    guint size;         /* R, W, S: bytes; 1, 2, 4 or 8 */
    guint32 sid;        /* T, B, D, A, F: StreamID or requester ID */
    gboolean write;     /* B, D, A */
    gboolean has_extra; /* T: there is a fourth column */
    guint64 extra;      /* T: permissions (SMMUv3) or an address mask (VT-d) */
    const guint8 *page; /* P: TRACE_PAGE_SIZE bytes, until the next line; NULL: zeros */
    const char *text;   /* comments and F: the rest of the line, until the next line */
} TraceLine;

typedef struct TraceReader TraceReader;

/* Opens, and reads the header's first line. */
TraceReader *trace_reader_open(const char *path, GError **error);
void trace_reader_close(TraceReader *reader);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TraceReader, trace_reader_close)

/* FALSE at the end, or with an error set. */
gboolean trace_reader_next(TraceReader *reader, TraceLine *ret_line, GError **error);

/* An error about a line, for those who find out later what is wrong with it. */
void trace_line_error(GError **error, const char *path, guint64 number, const char *format,
                      ...) G_GNUC_PRINTF(4, 5);

#define TRACE_ERROR (trace_error_quark())
GQuark trace_error_quark(void);

typedef enum {
    TRACE_ERROR_UNREADABLE,
    TRACE_ERROR_GARBLED,
    TRACE_ERROR_UNSUPPORTED, /* a good recording, of what cannot be played */
} TraceError;

#endif
