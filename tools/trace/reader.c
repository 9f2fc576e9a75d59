/* SPDX-License-Identifier: MIT */
/*
 * The reader of recordings. It owns the form of a line: whatever leaves it has all fields
 * of its kind, in range. What they mean is for the players.
 *
 * Up: survey.c and the players. Down: zlib, which reads plain files too.
 */
#include "reader.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <zlib.h>

/* The longest line is a P: kind, address, two digits a byte. */
enum { LINE_BYTES = 2 * TRACE_PAGE_SIZE + 256, BUFFER_BYTES = 1 << 17 };
enum { MAX_FIELDS = 6 };

struct TraceReader {
    char *path;
    gzFile file;
    guint64 number;
    char line[LINE_BYTES];
    guint8 page[TRACE_PAGE_SIZE];
};

G_DEFINE_QUARK(trace - error - quark, trace_error)

void trace_line_error(GError **error, const char *path, guint64 number, const char *format,
                      ...)
{
    g_autofree char *what = NULL;
    va_list args;

    va_start(args, format);
    what = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error(error, TRACE_ERROR, TRACE_ERROR_GARBLED, "%s:%" G_GUINT64_FORMAT ": %s",
                path, number, what);
}

/* A little of a line, fit to be shown. */
static char *excerpt(const char *text)
{
    g_autofree char *start = g_strndup(text, 40);
    g_autofree char *shown = g_strescape(start, NULL);

    return g_strdup_printf("\"%s%s\"", shown, strlen(text) > 40 ? "..." : "");
}

static gboolean garbled(const TraceReader *reader, GError **error, const char *what,
                        const char *text)
{
    g_autofree char *shown = excerpt(text);

    trace_line_error(error, reader->path, reader->number, "%s: %s", what, shown);
    return FALSE;
}

static gboolean file_failed(const TraceReader *reader, GError **error)
{
    int code = Z_OK;
    const char *message = gzerror(reader->file, &code);

    if (code == Z_OK || code == Z_STREAM_END)
        return FALSE;
    g_set_error(error, TRACE_ERROR, TRACE_ERROR_UNREADABLE,
                "%s:%" G_GUINT64_FORMAT ": cannot be read further: %s", reader->path,
                reader->number + 1,
                code == Z_ERRNO ? g_strerror(errno)
                : *message      ? message
                                : "the file ends within");
    return TRUE;
}

/* The next line, without its end. FALSE at the end of the file, or with an error. */
static gboolean read_line(TraceReader *reader, GError **error)
{
    gsize length;

    errno = 0;
    if (!gzgets(reader->file, reader->line, sizeof(reader->line))) {
        file_failed(reader, error);
        return FALSE;
    }
    if (file_failed(reader, error))
        return FALSE;
    reader->number++;
    length = strlen(reader->line);
    if (length + 1 == sizeof(reader->line))
        return garbled(reader, error, "a line too long for any event", reader->line);
    if (!length || reader->line[length - 1] != '\n') {
        if (!gzeof(reader->file))
            return garbled(reader, error, "a NUL within a line", reader->line);
        return garbled(reader, error, "the last line has no end", reader->line);
    }
    reader->line[--length] = 0;
    if (length && reader->line[length - 1] == '\r')
        reader->line[--length] = 0;
    return TRUE;
}

TraceReader *trace_reader_open(const char *path, GError **error)
{
    g_autoptr(TraceReader) reader = g_new0(TraceReader, 1);
    g_autoptr(GError) reason = NULL;

    reader->path = g_strdup(path);
    errno = 0;
    reader->file = gzopen(path, "rbe");
    if (!reader->file) {
        g_set_error(error, TRACE_ERROR, TRACE_ERROR_UNREADABLE, "%s: %s", path,
                    g_strerror(errno ? errno : ENOMEM));
        return NULL;
    }
    gzbuffer(reader->file, BUFFER_BYTES);
    if (!read_line(reader, &reason)) {
        if (reason)
            g_propagate_error(error, g_steal_pointer(&reason));
        else
            trace_line_error(error, path, 1, "an empty file");
        return NULL;
    }
    if (!g_str_equal(reader->line, "# viommu trace 1")) {
        garbled(reader, error, "not a recording, which begins with \"# viommu trace 1\"",
                reader->line);
        return NULL;
    }
    return g_steal_pointer(&reader);
}

void trace_reader_close(TraceReader *reader)
{
    if (!reader)
        return;
    if (reader->file)
        gzclose(reader->file);
    g_free(reader->path);
    g_free(reader);
}

/* --- fields ------------------------------------------------------------------------------
 */

/* Split at single blanks, in place; G_MAXUINT when there are too many. */
static guint split(char *line, char *ret_fields[MAX_FIELDS])
{
    guint n = 0;

    for (char *at = line; at; n++) {
        char *blank = strchr(at, ' ');

        if (n == MAX_FIELDS)
            return G_MAXUINT;
        ret_fields[n] = at;
        if (blank)
            *blank++ = 0;
        at = blank;
    }
    return n;
}

static gboolean parse_hex(const char *text, guint64 max, guint64 *ret_value)
{
    guint64 value = 0;

    if (!*text || strlen(text) > 16)
        return FALSE;
    for (; *text; text++) {
        int digit = g_ascii_xdigit_value(*text);

        if (digit < 0)
            return FALSE;
        value = value << 4 | (guint)digit;
    }
    *ret_value = value;
    return value <= max;
}

static gboolean parse_size(const char *text, guint *ret_size)
{
    if (strlen(text) != 1 || !strchr("1248", *text))
        return FALSE;
    *ret_size = *text - '0';
    return TRUE;
}

static gboolean parse_page(TraceReader *reader, const char *text, TraceLine *line)
{
    if (g_str_equal(text, "0"))
        return TRUE;
    if (strlen(text) != 2 * TRACE_PAGE_SIZE)
        return FALSE;
    for (gsize i = 0; i < TRACE_PAGE_SIZE; i++) {
        int high = g_ascii_xdigit_value(text[2 * i]);
        int low = g_ascii_xdigit_value(text[2 * i + 1]);

        if (high < 0 || low < 0)
            return FALSE;
        reader->page[i] = high << 4 | low;
    }
    line->page = reader->page;
    return TRUE;
}

static guint64 max_of_size(guint size)
{
    return G_MAXUINT64 >> (64 - 8 * size);
}

static gboolean parse_access(char **fields, guint n, TraceLine *line)
{
    return n == 4 && parse_hex(fields[1], G_MAXUINT64, &line->address) &&
           parse_size(fields[2], &line->size) &&
           parse_hex(fields[3], max_of_size(line->size), &line->value) &&
           line->address <= G_MAXUINT64 - line->size;
}

static gboolean parse_sid(const char *text, TraceLine *line)
{
    guint64 sid;

    if (!parse_hex(text, G_MAXUINT32, &sid))
        return FALSE;
    line->sid = sid;
    return TRUE;
}

static gboolean parse_dma(char **fields, guint n, TraceLine *line)
{
    return n >= 3 && parse_sid(fields[1], line) &&
           parse_hex(fields[2], G_MAXUINT64, &line->address);
}

static gboolean parse_translated(char **fields, guint n, TraceLine *line)
{
    line->has_extra = n == 5;
    return (n == 4 || n == 5) && parse_dma(fields, n, line) &&
           parse_hex(fields[3], G_MAXUINT64, &line->value) &&
           (n == 4 || parse_hex(fields[4], G_MAXUINT64, &line->extra));
}

static gboolean parse_untranslated(char **fields, guint n, TraceLine *line)
{
    guint64 write = 0;

    if (!parse_dma(fields, n, line) || n > 4 ||
        (n == 4 && !parse_hex(fields[3], 1, &write)))
        return FALSE;
    line->write = write;
    return TRUE;
}

static gboolean parse_fields(TraceReader *reader, TraceLine *line)
{
    char *fields[MAX_FIELDS] = {NULL};
    guint n = split(reader->line, fields);

    if (n == G_MAXUINT || strlen(fields[0]) != 1)
        return FALSE;
    switch (line->kind) {
    case TRACE_LINE_REGISTER_READ:
    case TRACE_LINE_REGISTER_WRITE:
    case TRACE_LINE_STORE:
        return parse_access(fields, n, line);
    case TRACE_LINE_PAGE:
        return n == 4 && parse_hex(fields[1], G_MAXUINT64, &line->address) &&
               line->address % TRACE_PAGE_SIZE == 0 && parse_page(reader, fields[3], line);
    case TRACE_LINE_TRANSLATED:
        return parse_translated(fields, n, line);
    case TRACE_LINE_BYPASSED:
    case TRACE_LINE_DISABLED:
    case TRACE_LINE_ABORTED:
        return parse_untranslated(fields, n, line);
    default:
        return FALSE;
    }
}

/* F keeps its text whole: recorders differ in what they tell of a fault. */
static gboolean parse_fault(TraceReader *reader, TraceLine *line)
{
    char *sid = reader->line + 1;
    char *rest;

    if (*sid++ != ' ')
        return FALSE;
    rest = strchr(sid, ' ');
    if (rest)
        *rest++ = 0;
    line->text = rest ? rest : "";
    return parse_sid(sid, line);
}

gboolean trace_reader_next(TraceReader *reader, TraceLine *ret_line, GError **error)
{
    g_autofree char *shown = NULL;
    gboolean ok;

    if (!read_line(reader, error))
        return FALSE;
    *ret_line = (TraceLine){.kind = reader->line[0], .number = reader->number};
    if (reader->line[0] == '#') {
        ret_line->text = reader->line + 1;
        return TRUE;
    }
    if (!reader->line[0] || !strchr("RWPSTBDAF", reader->line[0]))
        return garbled(reader, error, "a line of no known kind", reader->line);
    shown = g_strndup(reader->line, 80);
    ok = reader->line[0] == 'F' ? parse_fault(reader, ret_line)
                                : parse_fields(reader, ret_line);
    if (ok)
        return TRUE;
    return garbled(reader, error, "fields that do not fit the kind of line", shown);
}
