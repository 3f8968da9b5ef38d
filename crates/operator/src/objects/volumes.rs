//! Volumes of a pod (A.1, A.4): one name each, the same where it is declared and where it is mounted (A.11.10), and mounts of
//! a container are its own (A.11.15).

use k8s_openapi::api::core::v1::{
    CSIVolumeSource, ConfigMapVolumeSource, EmptyDirVolumeSource, HostPathVolumeSource, KeyToPath,
    PersistentVolumeClaimVolumeSource, SecretVolumeSource, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use towtank_api::{Container, Volume as Wanted};

use super::{some, some_map};

/// Volumes of one pod, as containers ask for them.
#[derive(Debug, Default)]
pub(super) struct Volumes {
    pub(super) declared: Vec<Volume>,
}

impl Volumes {
    /// Declares a volume, and answers with its name: another where the name is taken by another source.
    fn declare(&mut self, mut volume: Volume, position: usize) -> String {
        if self.declared.iter().any(|other| other.name == volume.name && *other != volume) {
            volume.name = format!("{}-{position}", volume.name);
        }
        let name = volume.name.clone();
        if !self.declared.contains(&volume) {
            self.declared.push(volume);
        }
        name
    }

    /// What a container mounts of its own.
    pub(super) fn mounts(&mut self, container: &Container, position: usize) -> Vec<VolumeMount> {
        let mounts = container.volumes.iter().filter_map(|(name, wanted)| {
            let volume = declared(name, wanted)?;
            let mount_path = if wanted.path.is_empty() { "/dev/shm".to_owned() } else { wanted.path.clone() };
            let name = self.declare(volume, position);
            Some(VolumeMount {
                name,
                mount_path,
                read_only: wanted.read_only.then_some(true),
                ..VolumeMount::default()
            })
        });
        mounts.collect()
    }
}

/// The first source that is given; `None` without one, or without a path where one is needed.
fn declared(name: &str, wanted: &Wanted) -> Option<Volume> {
    let mut volume = Volume { name: name.to_owned(), ..Volume::default() };
    let items = || {
        let items = wanted.items.iter();
        let items: Vec<_> = items
            .map(|(key, path)| KeyToPath { key: key.clone(), path: path.clone(), ..KeyToPath::default() })
            .collect();
        (!items.is_empty()).then_some(items)
    };
    if wanted.empty_dir {
        volume.empty_dir = Some(EmptyDirVolumeSource {
            medium: some(&wanted.empty_dir_medium),
            size_limit: some(&wanted.empty_dir_size_limit).map(Quantity),
            ..EmptyDirVolumeSource::default()
        });
        return Some(volume);
    }
    if wanted.path.is_empty() {
        return None;
    }
    if !wanted.config_map_name.is_empty() {
        volume.config_map = Some(ConfigMapVolumeSource {
            name: wanted.config_map_name.clone(),
            items: items(),
            ..ConfigMapVolumeSource::default()
        });
    } else if !wanted.secret_name.is_empty() {
        volume.secret = Some(SecretVolumeSource {
            secret_name: some(&wanted.secret_name),
            items: items(),
            ..SecretVolumeSource::default()
        });
    } else if !wanted.host_path.is_empty() {
        volume.host_path = Some(HostPathVolumeSource { path: wanted.host_path.clone(), type_: None });
    } else if !wanted.claim_name.is_empty() {
        volume.persistent_volume_claim = Some(PersistentVolumeClaimVolumeSource {
            claim_name: wanted.claim_name.clone(),
            read_only: wanted.read_only.then_some(true),
        });
    } else if !wanted.csi_driver.is_empty() {
        volume.csi = Some(CSIVolumeSource {
            driver: wanted.csi_driver.clone(),
            read_only: wanted.read_only.then_some(true),
            volume_attributes: some_map(&wanted.csi_driver_attributes),
            ..CSIVolumeSource::default()
        });
    } else {
        return None;
    }
    Some(volume)
}
