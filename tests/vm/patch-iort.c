/* SPDX-License-Identifier: MIT */
/*
 * Makes the IORT override that the arm64 test VM needs: Linux offers a nested SMMUv3 only
 * where the root complex claims CANWBS (or the SMMU has S2FWB), and QEMU claims neither.
 * Sets CANWBS in each root complex node, raises the OEM revision (the kernel takes an
 * override only if it is newer) and fixes the checksum.
 *
 *     patch-iort IN OUT       IN: the table, as it is or as hex digits; "-" is stdin
 *
 * Layouts: ACPI 6.5, 5.2.6 (header); Arm DEN0049E, 3 (IORT), 3.1.1.3 (root complex).
 * Neighbours: init.c (prints the table as hex), run-vm (puts the result in the initrd).
 * A host program: it runs where the build runs.
 */

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_TABLE (1u << 20)

/* ACPI table header */
#define HDR_LENGTH       4
#define HDR_CHECKSUM     9
#define HDR_OEM_REVISION 24

/* IORT */
#define IORT_NODE_COUNT  36
#define IORT_NODE_OFFSET 40
#define IORT_SIZE        48

/* IORT node: header, then the node's own data */
#define NODE_TYPE                 0
#define NODE_LENGTH               1
#define NODE_SIZE                 16
#define NODE_TYPE_ROOT_COMPLEX    2
#define ROOT_COMPLEX_MEMORY_FLAGS (NODE_SIZE + 7)
#define MEMORY_FLAG_CANWBS        (1u << 2)

static void __attribute__((noreturn, format(printf, 1, 2))) die(const char *format, ...)
{
    va_list args;

    fputs("patch-iort: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t get32(const uint8_t *p)
{
    return get16(p) | (uint32_t)get16(p + 2) << 16;
}

static void put32(uint8_t *p, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(value >> 8 * i);
}

static uint8_t sum(const uint8_t *table, size_t size)
{
    uint8_t total = 0;

    for (size_t i = 0; i < size; i++)
        total = (uint8_t)(total + table[i]);
    return total;
}

static size_t read_all(const char *path, uint8_t *buf, size_t size)
{
    FILE *f = strcmp(path, "-") ? fopen(path, "rb") : stdin;
    size_t n;

    if (!f)
        die("%s: %s", path, strerror(errno));
    n = fread(buf, 1, size, f);
    if (ferror(f))
        die("%s: %s", path, strerror(errno));
    if (n == size)
        die("%s: larger than %zu bytes, not an IORT", path, size - 1);
    if (f != stdin)
        fclose(f);
    return n;
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (uint8_t)tolower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* In place; returns the number of bytes. */
static size_t decode_hex(uint8_t *buf, size_t size)
{
    size_t digits = 0;

    for (size_t i = 0; i < size; i++) {
        int digit;

        if (isspace(buf[i]))
            continue;
        digit = hex_digit(buf[i]);
        if (digit < 0)
            die("byte 0x%02x at offset %zu: neither an IORT nor hex digits", buf[i], i);
        if (digits % 2)
            buf[digits / 2] = (uint8_t)(buf[digits / 2] | digit);
        else
            buf[digits / 2] = (uint8_t)(digit << 4);
        digits++;
    }
    if (digits % 2)
        die("odd number of hex digits (%zu)", digits);
    return digits / 2;
}

static void check_header(const uint8_t *table, size_t size)
{
    if (size < IORT_SIZE)
        die("%zu bytes: too short for an IORT (%d)", size, IORT_SIZE);
    if (memcmp(table, "IORT", 4))
        die("signature \"%.4s\" is not \"IORT\"", (const char *)table);
    if (get32(table + HDR_LENGTH) != size)
        die("length field says %u bytes, there are %zu", get32(table + HDR_LENGTH), size);
    if (sum(table, size))
        die("checksum is off by 0x%02x", sum(table, size));
}

/* Returns the number of root complex nodes. */
static unsigned set_canwbs(uint8_t *table, size_t size)
{
    uint32_t count = get32(table + IORT_NODE_COUNT);
    size_t offset = get32(table + IORT_NODE_OFFSET);
    unsigned found = 0;

    for (uint32_t i = 0; i < count; i++) {
        size_t length;

        if (offset > size || size - offset < NODE_SIZE)
            die("node %u at offset %zu lies outside the table", i, offset);
        length = get16(table + offset + NODE_LENGTH);
        if (length < NODE_SIZE || length > size - offset)
            die("node %u at offset %zu has a bad length (%zu)", i, offset, length);
        if (table[offset + NODE_TYPE] == NODE_TYPE_ROOT_COMPLEX) {
            if (length <= ROOT_COMPLEX_MEMORY_FLAGS)
                die("node %u: too short for a root complex (%zu)", i, length);
            table[offset + ROOT_COMPLEX_MEMORY_FLAGS] |= MEMORY_FLAG_CANWBS;
            found++;
        }
        offset += length;
    }
    return found;
}

int main(int argc, char **argv)
{
    static uint8_t table[MAX_TABLE];
    size_t size;
    FILE *out;

    if (argc != 3)
        die("usage: patch-iort IN OUT");
    size = read_all(argv[1], table, sizeof(table));
    if (size < 4 || memcmp(table, "IORT", 4))
        size = decode_hex(table, size);
    check_header(table, size);
    if (!set_canwbs(table, size))
        die("no root complex node");
    put32(table + HDR_OEM_REVISION, get32(table + HDR_OEM_REVISION) + 1);
    table[HDR_CHECKSUM] = (uint8_t)(table[HDR_CHECKSUM] - sum(table, size));

    out = fopen(argv[2], "wb");
    if (!out)
        die("%s: %s", argv[2], strerror(errno));
    if (fwrite(table, 1, size, out) != size || fclose(out))
        die("%s: %s", argv[2], strerror(errno));
    return 0;
}
