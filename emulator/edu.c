/* SPDX-License-Identifier: MIT */
/*
 * The DMA test device: QEMU's "edu" as seen through its BAR and config space.
 *
 * Invariants: a DMA runs to its end inside the write that starts it, so the run bit
 * always reads 0; it needs Bus Master, stays within the device's 4 KiB buffer, and
 * its bus addresses have 28 bits. Interrupts are only a status register.
 *
 * Up: vfio-cdev.c. Down: dma.c.
 */
#include <linux/pci_regs.h>

#include "machine.h"

#define EDU_ID           0x010000edU
#define EDU_DMA_MASK     ((1ULL << 28) - 1)
#define EDU_BUFFER_START 0x40000ULL

#define EDU_DMA_RUN      1ULL
#define EDU_DMA_TO_BUS   2ULL
#define EDU_DMA_IRQ      4ULL
#define EDU_IRQ_FACT     0x01U
#define EDU_IRQ_DMA      0x100U
#define EDU_STATUS_IRQ   0x80U

/* What QEMU lets be written in the command register. */
#define COMMAND_WRITABLE                                                           \
    (PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_SERR | \
     PCI_COMMAND_INTX_DISABLE)

enum {
    REG_ID = 0x00,
    REG_INVERT = 0x04,
    REG_FACTORIAL = 0x08,
    REG_STATUS = 0x20,
    REG_IRQ_STATUS = 0x24,
    REG_IRQ_RAISE = 0x60,
    REG_IRQ_ACK = 0x64,
    REG_DMA_SOURCE = 0x80,
    REG_DMA_DEST = 0x88,
    REG_DMA_COUNT = 0x90,
    REG_DMA_COMMAND = 0x98,
};

static void put16(guint8 *at, guint value)
{
    at[0] = (guint8)value;
    at[1] = (guint8)(value >> 8);
}

static guint get16(const guint8 *at)
{
    return at[0] | (guint)at[1] << 8;
}

void viommui_emu_edu_init(EmuEdu *edu, guint16 vendor_id, guint16 device_id)
{
    put16(&edu->config[PCI_VENDOR_ID], vendor_id);
    put16(&edu->config[PCI_DEVICE_ID], device_id);
    edu->config[PCI_REVISION_ID] = 0x10;
    edu->config[PCI_CLASS_DEVICE + 1] = 0xff; /* "other" */
    put16(&edu->config[PCI_SUBSYSTEM_VENDOR_ID], 0x1af4);
    put16(&edu->config[PCI_SUBSYSTEM_ID], 0x1100);
    edu->config[PCI_INTERRUPT_PIN] = 1;
    edu->config[PCI_BASE_ADDRESS_0 + 3] = 0x10; /* some address; nobody decodes it */
}

/* As vfio-pci opens a device: decoding memory, but not a bus master. */
void viommui_emu_edu_enable(EmuEdu *edu)
{
    guint command = get16(&edu->config[PCI_COMMAND]);

    put16(&edu->config[PCI_COMMAND], (command | PCI_COMMAND_MEMORY) & ~PCI_COMMAND_MASTER);
}

void viommui_emu_edu_disable(EmuEdu *edu)
{
    guint command = get16(&edu->config[PCI_COMMAND]);

    put16(&edu->config[PCI_COMMAND], command & ~PCI_COMMAND_MASTER);
}

gboolean viommui_emu_edu_memory_enabled(const EmuEdu *edu)
{
    return !!(get16(&edu->config[PCI_COMMAND]) & PCI_COMMAND_MEMORY);
}

static void run_dma(EmuDevice *device)
{
    EmuEdu *edu = &device->edu;
    gboolean to_bus = !!(edu->dma_command & EDU_DMA_TO_BUS);
    guint64 offset = (to_bus ? edu->dma_source : edu->dma_dest) - EDU_BUFFER_START;
    guint64 address = (to_bus ? edu->dma_dest : edu->dma_source) & EDU_DMA_MASK;
    guint64 count = edu->dma_count;

    edu->dma_command &= ~EDU_DMA_RUN;
    if (edu->dma_command & EDU_DMA_IRQ) {
        edu->irq_status |= EDU_IRQ_DMA;
    }
    if (offset > sizeof(edu->buffer) || count > sizeof(edu->buffer) - offset) {
        return;
    }
    if (get16(&edu->config[PCI_COMMAND]) & PCI_COMMAND_MASTER) {
        viommui_emu_dma(device, address, edu->buffer + offset, count, to_bus);
    } else if (!to_bus) {
        memset(edu->buffer + offset, 0, count); /* a read that nobody answers */
    }
}

static void run_factorial(EmuEdu *edu, guint32 value)
{
    guint32 result = 1;

    /* From 34! on the product is 0 in 32 bits. */
    for (guint32 i = MIN(value, 34); i > 0; i--) {
        result *= i;
    }
    edu->factorial = result;
    if (edu->status & EDU_STATUS_IRQ) {
        edu->irq_status |= EDU_IRQ_FACT;
    }
}

static gboolean is_valid_access(guint64 offset, guint size)
{
    return size == 4 || (size == 8 && offset >= REG_DMA_SOURCE);
}

guint64 viommui_emu_edu_bar_read(EmuDevice *device, guint64 offset, guint size)
{
    const EmuEdu *edu = &device->edu;

    if (!is_valid_access(offset, size)) {
        return ~0ULL;
    }
    switch (offset) {
    case REG_ID:
        return EDU_ID;
    case REG_INVERT:
        return edu->inverted;
    case REG_FACTORIAL:
        return edu->factorial;
    case REG_STATUS:
        return edu->status;
    case REG_IRQ_STATUS:
        return edu->irq_status;
    case REG_DMA_SOURCE:
        return edu->dma_source;
    case REG_DMA_DEST:
        return edu->dma_dest;
    case REG_DMA_COUNT:
        return edu->dma_count;
    case REG_DMA_COMMAND:
        return edu->dma_command;
    default:
        return ~0ULL;
    }
}

void viommui_emu_edu_bar_write(EmuDevice *device, guint64 offset, guint64 value, guint size)
{
    EmuEdu *edu = &device->edu;

    if (!is_valid_access(offset, size)) {
        return;
    }
    switch (offset) {
    case REG_INVERT:
        edu->inverted = ~(guint32)value;
        break;
    case REG_FACTORIAL:
        run_factorial(edu, (guint32)value);
        break;
    case REG_STATUS:
        edu->status = (guint32)value & EDU_STATUS_IRQ;
        break;
    case REG_IRQ_RAISE:
        edu->irq_status |= (guint32)value;
        break;
    case REG_IRQ_ACK:
        edu->irq_status &= ~(guint32)value;
        break;
    case REG_DMA_SOURCE:
        edu->dma_source = value;
        break;
    case REG_DMA_DEST:
        edu->dma_dest = value;
        break;
    case REG_DMA_COUNT:
        edu->dma_count = value;
        break;
    case REG_DMA_COMMAND:
        if (value & EDU_DMA_RUN) {
            edu->dma_command = value;
            run_dma(device);
        }
        break;
    default:
        break;
    }
}

void viommui_emu_edu_config_read(EmuEdu *edu, guint64 offset, guint8 *buf, gsize size)
{
    memcpy(buf, edu->config + offset, size);
}

/* The bits of a config byte that a write changes. */
static guint8 writable_bits(guint64 offset)
{
    switch (offset) {
    case PCI_COMMAND:
        return COMMAND_WRITABLE & 0xff;
    case PCI_COMMAND + 1:
        return COMMAND_WRITABLE >> 8;
    case PCI_CACHE_LINE_SIZE:
    case PCI_INTERRUPT_LINE:
        return 0xff;
    case PCI_BASE_ADDRESS_0 + 2:
        return (guint8) ~((EMU_EDU_BAR_SIZE - 1) >> 16);
    case PCI_BASE_ADDRESS_0 + 3:
        return 0xff;
    default:
        return 0;
    }
}

void viommui_emu_edu_config_write(EmuEdu *edu, guint64 offset, const guint8 *buf,
                                  gsize size)
{
    for (gsize i = 0; i < size; i++) {
        guint8 mask = writable_bits(offset + i);
        guint8 *at = &edu->config[offset + i];

        *at = (guint8)((*at & ~mask) | (buf[i] & mask));
    }
}
