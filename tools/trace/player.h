/* SPDX-License-Identifier: MIT */
#ifndef TRACE_PLAYER_H
#define TRACE_PLAYER_H

#include "faults.h"
#include "tables.h"
#include "unmapped.h"

#include <viommu-emulator/emulator.h>
#include <viommu-emulator/inspect.h>
#include <viommu/host-device.h>
#include <viommu/services.h>

/*
 * A recorded guest played through a whole device of the library (the *unit*), with the
 * emulator behind it as host. Each recorded device is two things at once: an emulated one
 * attached as a host device, whose DMA goes through the emulated hardware by what the
 * library forwarded; and an endpoint asked for by the unit's translate call.
 */

typedef struct {
    guint32 sid;
    char *bdf;
    ViommuHostDevice *host_device; /* NULL: left to software */
    const char *left_out;          /* and why; static */
} TraceDevice;

typedef struct {
    const TraceSurvey *survey;
    const TraceUnitOps *ops;
    const TraceMemory *memory;
    const TraceOptions *options;
    TraceResult *result;
    guint64 line; /* the one being played */

    ViommuEmulator *emulator;
    ViommuHost *host;
    GPtrArray *devices; /* of TraceDevice */
    GHashTable *by_sid; /* StreamID or requester ID -> TraceDevice */
    gpointer tables;    /* what the guest says, for what is asked beyond the recording */
    TraceUnmapped *unmapped;
    TraceFaults *faults;
    GArray *omissions; /* what was left to software, and how often */
    char *refused;     /* what the library last refused, in words; for messages */
    guint32 marker;

    /* The vendor's, from create() on. */
    gpointer unit;
    gpointer fault_source; /* for its TraceFaultsOps */
    guint iommu;           /* its host's, in the emulator */
} TracePlayer;

/* A DMA that the IOMMU let pass, as recorded. */
typedef struct {
    guint32 sid;
    guint64 iova;
    guint64 gpa;
    gboolean write;     /* the access to make */
    guint perms;        /* all that are allowed, 1 read 2 write; 0: not known */
    gboolean may_write; /* all the same: the guest has not flushed since it could */
    gboolean message;   /* an interrupt, not to memory */
} TraceDma;

struct TraceUnitOps {
    const char *source; /* what a device's number is called */
    const TraceUnmappedOps *unmapped;
    const TraceFaultsOps *faults;

    /*
     * Mandatory. Make the unit, and an IOMMU of the emulator that can keep what it offers:
     * what was recorded. The host has the guest's memory already.
     */
    gboolean (*create)(TracePlayer *player, const ViommuServices *services, GError **error);
    /* Mandatory; create() may have failed half-way, or not been called. */
    void (*free)(TracePlayer *player);

    /* Mandatory. What is known of a device. NULL, or why it is left to software. */
    const char *(*describe)(TracePlayer *player, guint32 sid,
                            ViommuEmulatorDeviceConfig *config);
    /* Mandatory. */
    gboolean (*attach)(TracePlayer *player, ViommuHostDevice *device, guint32 sid,
                       GError **error);
    gboolean (*release)(TracePlayer *player, GError **error);

    /* Mandatory. Registers; write: a W, and all that comes of it. */
    guint64 (*read)(TracePlayer *player, guint64 offset, guint size);
    void (*write)(TracePlayer *player, const TraceLine *line);
    /* Mandatory. FALSE: the difference of an R line to ours is none to be excused. */
    gboolean (*excuse)(TracePlayer *player, const TraceLine *line, guint64 ours);

    /* Mandatory. In a read section of its own. */
    ViommuResult (*translate)(TracePlayer *player, guint32 sid, guint64 iova,
                              ViommuAccess access, ViommuTranslation *ret_translation);
    /* Mandatory. Move to the guest's queues what waits on the host. */
    void (*handle_events)(TracePlayer *player);

    /* Mandatory. Complete what T, B and D lines say, which is in *dma. */
    void (*expect)(TracePlayer *player, const TraceLine *line, TraceDma *dma);
    /* Optional. What more a translation must be. NULL, or what it is not; free it. */
    char *(*check)(TracePlayer *player, const TraceLine *line, const TraceDma *dma,
                   const ViommuTranslation *got);
    /* Mandatory. The emulated hardware takes it for a message. As above. */
    char *(*check_message)(TracePlayer *player, const TraceDevice *device,
                           const TraceDma *dma);
    /*
     * Optional. Why the hardware need not know yet what the tables say of a device; NULL:
     * it must. Static.
     */
    const char *(*is_untold)(TracePlayer *player, guint32 sid);
};

ViommuResult trace_player_translate(TracePlayer *player, guint32 sid, guint64 iova,
                                    ViommuAccess access,
                                    ViommuTranslation *ret_translation);
gboolean trace_player_is_in_msi_window(const TracePlayer *player, guint64 address);

extern const TracePlayerOps trace_player;

#endif
