//! System calls that are refused, and capabilities that are given up.

use std::{collections::BTreeMap, io};

use rustix::thread::{CapabilitySet, CapabilitySets, remove_capability_from_bounding_set, set_capabilities};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch, apply_filter};

use super::kernels;

/// What looks into other processes, changes the view of the file system, or reaches parts of the kernel that no plugin needs
/// and in which holes are found.
const REFUSED: [libc::c_long; 33] = [
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_setns,
    libc::SYS_kexec_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_open_by_handle_at,
    libc::SYS_quotactl,
];

/// Has the kernel refuse these calls to this process and all that it starts.
///
/// # Errors
/// The kernel has no filters, or plugd none for this processor.
pub(super) fn refuse() -> io::Result<()> {
    apply_filter(&filter()?).map_err(|error| kernels(&error))
}

fn filter() -> io::Result<BpfProgram> {
    let rules: BTreeMap<i64, _> = REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let processor = TargetArch::try_from(std::env::consts::ARCH).map_err(|error| kernels(&error))?;
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refused, processor);
    filter.and_then(BpfProgram::try_from).map_err(|error| kernels(&error))
}

/// Takes care that no program of root's can have a capability. To be called before the user is changed.
pub(in crate::runtime) fn bound_capabilities() {
    for number in 0..u64::BITS {
        // The kernel knows no more than some 40 of them. Who may not change this has none to give up either.
        if remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << number)).is_err() {
            return;
        }
    }
}

/// Gives up all capabilities.
///
/// # Errors
/// They can't be given up.
pub(super) fn drop_capabilities() -> io::Result<()> {
    let none = CapabilitySet::empty();
    Ok(set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?)
}
