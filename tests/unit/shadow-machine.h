/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_SHADOW_MACHINE_H
#define TESTS_UNIT_SHADOW_MACHINE_H

#include "view.h"
#include "vtd-machine.h"
#include "watch.h"

/*
 * A VM with a whole guest VT-d unit (vtd-machine.h), by any backend, whose devices are
 * watched: at every host call, each must see no more than what one state of the guest's
 * tables grants it, the one before or the one after what the guest is about to tell.
 *
 * Vocabulary: a *port* is what one kind of a device's requests goes through, those without
 * a PASID or those of one; its *home* is what the guest's entries say of it; a *page* is
 * one of guest memory that is marked, and that devices may get to reach.
 */
enum { SM_DEVICES = VTDM_DEVICES, SM_PORTS = 6, SM_WATCHED = 64, SM_PAGES = 64 };
enum { SM_PAGE = GUEST_PAGE, SM_PASID_BITS = 8 };
/* Memory that can be taken away; it holds no tables, and few pages. */
enum { SM_HOT_RAM = 0x3000000, SM_HOT_SIZE = 0x200000, SM_HOT_PAGES = 16 };
/* In legacy mode TT, in scalable mode PGTT: second-stage tables. */
#define SM_IOVA 0x4000000000ull

typedef struct {
    const char *backend;
    const char *container; /* of backend "legacy"; NULL: the default */
    guint n_devices;       /* 0: one */
    gboolean one_group;    /* which all devices are in; else each has its own */
    gboolean pasids;       /* devices have them */
    guint64 lacks;         /* of the host's ECAP */
    guint host_levels;     /* of its tables: 4; 0: 5 */
    ViommuVtdConfig config;
} ShadowMachineOptions;

#define SM_FSTS  (1ull << 47)
#define SM_SSADS (1ull << 45)

#define SM_OPTIONS(...) \
    (&(ShadowMachineOptions){.config = {.pasid_bits = -1, .fault_records = 8}, __VA_ARGS__})

typedef enum { SM_BLOCKED, SM_IDENTITY, SM_DOMAIN } ShadowHomeKind;

typedef struct {
    ShadowHomeKind kind;
    const GuestVtdDomain *domain;
} ShadowHome;

typedef struct {
    guint device;
    int pasid; /* or VIEW_NO_PASID */
    ShadowHome home;
    View was[SM_WATCHED];
    View will[SM_WATCHED];
} ShadowPort;

typedef struct {
    VtdMachine vm;
    const ShadowMachineOptions *options;
    char *bdfs[SM_DEVICES + 1];
    Watch watch;
    Viewer viewer;
    guint64 pages[SM_PAGES];
    guint8 *hot;
    gboolean hot_is_mapped;
    ShadowPort ports[SM_PORTS]; /* of each device, without a PASID; and what was added */
    guint n_ports;
    guint n_watched;
    guint64 watched[SM_WATCHED];
    gboolean either[SM_WATCHED]; /* as it was or will be, whatever the others are */
    gboolean is_watching;
    unsigned long map_call; /* the host calls by which a page comes and goes */
    unsigned long unmap_call;
    char *wrong;
} ShadowMachine;

/* Devices are attached, translation is off; all ports are at IDENTITY. FALSE: it was said.
 */
gboolean sm_init(ShadowMachine *m, const ShadowMachineOptions *options);
/* Says what was seen that must not be, and what is left on the host. */
void sm_clear(ShadowMachine *m);
/* The same, by one of many: *ok is only ever set to FALSE. */
void sm_clear_quietly(ShadowMachine *m, gboolean *ok);
/* The emulator, the devices and the host, without a unit. */
guint sm_objects(ShadowMachine *m, ViommuEmulatorObject kind);
guint sm_all_objects(ShadowMachine *m);

gboolean sm_plug(ShadowMachine *m, GError **error);
gboolean sm_unplug(ShadowMachine *m, GError **error);

/* --- the guest --- */

/* The driver starts the unit: all ports are blocked. */
void sm_start(ShadowMachine *m, VtdmMode mode);
void sm_domain(ShadowMachine *m, GuestVtdDomain *domain, guint16 did);
/* An entry, and nobody is told. word: address and bits. */
void sm_put(ShadowMachine *m, GuestVtdDomain *domain, guint64 iova, guint level,
            guint64 word);
/* n pages in a row, by their number in m->pages; rights 0: nothing. */
void sm_map(ShadowMachine *m, GuestVtdDomain *domain, guint64 iova, guint page, guint n,
            guint rights);
/* A port more, of a PASID. */
guint sm_add_port(ShadowMachine *m, guint device, int pasid);
/* Give a device's requests a new home, and tell the unit. */
void sm_install(ShadowMachine *m, guint port, const GuestVtdDomain *domain);
void sm_install_identity(ShadowMachine *m, guint port);
void sm_remove(ShadowMachine *m, guint port);

/* --- what the guest tells; TRUE: it was told done --- */
gboolean sm_flush_page(ShadowMachine *m, guint16 did, guint64 iova);
/* 2^order pages. */
gboolean sm_flush_pages(ShadowMachine *m, guint16 did, guint64 iova, guint order);
gboolean sm_flush_domain(ShadowMachine *m, guint16 did);
gboolean sm_flush_global(ShadowMachine *m);

/* --- what is watched --- */

void sm_watch(ShadowMachine *m, guint64 iova, guint n);
/* From here on something changes: to what the tables say now, of first to last. */
void sm_begin(ShadowMachine *m);
void sm_begin_range(ShadowMachine *m, guint64 first, guint64 last);
/* It has: TRUE if every port sees just what it is to see. */
gboolean sm_end(ShadowMachine *m);
/* The same where part of it may be lacking: TRUE if no port sees more than it is to see. */
gboolean sm_end_doubtful(ShadowMachine *m);
gboolean sm_is_right(ShadowMachine *m);
/* What a port is to see there, by the guest's tables. */
View sm_grant(ShadowMachine *m, const ShadowPort *port, guint64 iova);
View sm_see(ShadowMachine *m, guint port, guint64 iova);
/* It sees nothing, anywhere. */
gboolean sm_is_blind(ShadowMachine *m, guint port);

guint64 sm_maps(ShadowMachine *m);
guint64 sm_unmaps(ShadowMachine *m);

#endif
