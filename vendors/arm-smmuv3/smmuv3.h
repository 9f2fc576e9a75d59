/* SPDX-License-Identifier: MIT */
#ifndef VIOMMUI_SMMUV3_H
#define VIOMMUI_SMMUV3_H

/*
 * What the files of this vendor share. ste.c and command.c decode what the guest wrote;
 * caps.c holds guest against host; smmuv3-accel.c and smmuv3-accel-commands.c act on it.
 *
 * Up the path: the VMM, by viommu/smmuv3-accel.h. Down the path: core/core.h.
 */

#include "core/core.h"

#include <viommu/smmuv3-accel.h>

#include "regs.h"

/* --- caps.c --- */

/*
 * Whether a host SMMU keeps what the guest's ID registers promise; else an error that
 * names the field and both values.
 */
gboolean viommui_smmuv3_check_caps(const guint32 guest_idr[6],
                                   const ViommuHostDeviceInfo *host, const char *device,
                                   GError **error);
/* Whether the library itself can keep the promises, whatever the host. */
gboolean viommui_smmuv3_check_guest_idr(const guint32 guest_idr[6], GError **error);

/* --- ste.c --- */

typedef enum {
    VIOMMUI_STE_ABORT,
    VIOMMUI_STE_BYPASS,
    VIOMMUI_STE_S1,
    VIOMMUI_STE_ILLEGAL, /* the guest is owed a C_BAD_STE */
} ViommuiSteKind;

/* What a stream table entry asks for. */
typedef struct {
    ViommuiSteKind kind;
    guint64 words[2]; /* for the host: the fields it takes, little-endian */
    gboolean ats;     /* the guest will invalidate the device's ATC */
    const char *why;  /* VIOMMUI_STE_ILLEGAL: the field at fault */
    guint64 value;    /* and its value */
} ViommuiSte;

/* Read the 64 bytes of a guest's entry (a copy); NULL: there is none. For a device there.
 */
ViommuiSte viommui_smmuv3_decode_ste(const guint32 guest_idr[6],
                                     const ViommuHostDeviceInfo *host, const guint8 *bytes);
/* The host's words for an abort or bypass entry. */
void viommui_smmuv3_make_ste(guint config, guint64 ret_words[2]);

/* --- command.c --- */

typedef enum {
    VIOMMUI_COMMAND_COMPLETE, /* nothing to do on the host */
    VIOMMUI_COMMAND_TLBI,     /* to every host SMMU behind this one */
    VIOMMUI_COMMAND_CFGI,     /* to the host SMMU of stream `sid` */
    VIOMMUI_COMMAND_ATC_INV,  /* likewise, while its stream table entry has ATS */
    VIOMMUI_COMMAND_CFGI_STE, /* not by this way */
    VIOMMUI_COMMAND_ILLEGAL,  /* CERROR_ILL */
} ViommuiCommandKind;

typedef struct {
    ViommuiCommandKind kind;
    guint opcode;
    guint32 sid;
    guint64 words[2]; /* for the host, little-endian */
    const char *why;  /* VIOMMUI_COMMAND_ILLEGAL: the field at fault */
} ViommuiCommand;

ViommuiCommand viommui_smmuv3_decode_command(const guint32 guest_idr[6],
                                             const guint8 *bytes);
/* CFGI_CD_ALL for a stream. */
void viommui_smmuv3_make_cfgi_cd_all(guint32 sid, guint64 ret_words[2]);

/* --- smmuv3-accel.c --- */

/* One host SMMU behind the guest's. */
typedef struct {
    ViommuiHostViommu *viommu;
    ViommuiBatch *batch;
    guint n_streams;
} ViommuiSmmuv3HostSmmu;

/* One device, and the stream it has (or not yet has). */
typedef struct {
    ViommuHostDevice *device;
    ViommuiSmmuv3HostSmmu *host;
    guint32 sid;  /* VIOMMU_SMMUV3_SID_UNKNOWN */
    gboolean ats; /* the entry that is bound, or put off, has ATS */
} ViommuiSmmuv3Stream;

struct ViommuSmmuv3Accel {
    ViommuHost *host;
    ViommuSmmuv3AccelConfig config;
    guint first_host;      /* whose events are read first, modulo their number */
    GPtrArray *hosts;      /* ViommuiSmmuv3HostSmmu */
    GHashTable *by_device; /* ViommuHostDevice -> ViommuiSmmuv3Stream; owns them */
    GHashTable *by_sid;    /* StreamID -> ViommuiSmmuv3Stream */
    gboolean installing;   /* between begin_installs and end_installs */
    ViommuResult gathered; /* what has failed of that, where a batch was full */
    GHashTable *put_off; /* a set of streams with a change that the host refused for now */
};

/*
 * Between begin and end, install_ste leaves the CFGI_CD_ALL of entries that have not
 * changed in the batch, one host call for all. When end fails, it is not known which of
 * them are done: install all again, outside.
 */
void viommui_smmuv3_begin_installs(ViommuSmmuv3Accel *accel);
ViommuResult viommui_smmuv3_end_installs(ViommuSmmuv3Accel *accel);

/* Issue what the batches hold; on failure the guest command to blame. */
ViommuResult viommui_smmuv3_flush(ViommuSmmuv3Accel *accel, gsize *ret_command);

#endif
