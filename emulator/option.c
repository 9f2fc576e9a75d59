/* SPDX-License-Identifier: MIT */
/*
 * IOMMU_OPTION: settings of a context and of an IOAS.
 *
 * Nothing here is charged to anybody, so the rlimit mode is only remembered. Its caller is
 * taken to have CAP_SYS_RESOURCE.
 *
 * Up: iommufd.c. Down: ioas.c.
 */
#include "iommufd.h"

/* A context without objects, and without IDs that are taken for good. */
static gboolean is_empty(const EmuIommufd *ctx)
{
    for (guint i = 0; i < ctx->slots->len; i++) {
        if (g_ptr_array_index(ctx->slots, i)) {
            return FALSE;
        }
    }
    return TRUE;
}

static int rlimit_mode(EmuIommufd *ctx, struct iommu_option *cmd)
{
    if (cmd->object_id) {
        return -EOPNOTSUPP;
    }
    if (cmd->op == IOMMU_OPTION_OP_GET) {
        cmd->val64 = ctx->charge_process;
        return 0;
    }
    if (cmd->op != IOMMU_OPTION_OP_SET) {
        return -EOPNOTSUPP;
    }
    if (!is_empty(ctx)) {
        return -EBUSY;
    }
    if (cmd->val64 > 1) {
        return -EINVAL;
    }
    ctx->charge_process = cmd->val64 == 1;
    return 0;
}

static int huge_pages(EmuIommufd *ctx, struct iommu_option *cmd)
{
    EmuIoas *ioas = (EmuIoas *)viommui_emu_object_get(ctx, cmd->object_id, EMU_OBJECT_IOAS);

    if (!ioas) {
        return -ENOENT;
    }
    if (cmd->op == IOMMU_OPTION_OP_GET) {
        cmd->val64 = !ioas->no_huge;
        return 0;
    }
    if (cmd->op != IOMMU_OPTION_OP_SET) {
        return -EOPNOTSUPP;
    }
    return cmd->val64 > 1 ? -EINVAL : viommui_emu_ioas_set_huge(ioas, cmd->val64 == 1);
}

int viommui_emu_option(EmuUcmd *ucmd)
{
    struct iommu_option *cmd = ucmd->cmd;
    struct iommu_option *user = ucmd->user;
    int ret;

    if (cmd->__reserved) {
        return -EOPNOTSUPP;
    }
    switch (cmd->option_id) {
    case IOMMU_OPTION_RLIMIT_MODE:
        ret = rlimit_mode(ucmd->ctx, cmd);
        break;
    case IOMMU_OPTION_HUGE_PAGES:
        ret = huge_pages(ucmd->ctx, cmd);
        break;
    default:
        return -EOPNOTSUPP;
    }
    if (ret < 0) {
        return ret;
    }
    return viommui_emu_copy_to_user(&user->val64, &cmd->val64, sizeof(cmd->val64));
}
