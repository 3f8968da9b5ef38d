//! Releases of what a scenario is played with, ranges of them, and one choice of all.

use std::fmt;
use std::str::FromStr;

use towtank_flux::FluxVersion;
use towtank_model::version::KubernetesVersion;

/// A kind of software whose releases follow each other.
pub trait Release: Copy + Ord + fmt::Display + FromStr + 'static {
    /// What it is, for messages.
    const WHAT: &str;

    /// All that are known, oldest first; at least one.
    fn all() -> Vec<Self>;

    /// The oldest one.
    const OLDEST: Self;

    /// The newest one.
    const NEWEST: Self;
}

impl Release for KubernetesVersion {
    const WHAT: &str = "Kubernetes version";
    const OLDEST: Self = Self::OLDEST;
    const NEWEST: Self = Self::NEWEST;

    fn all() -> Vec<Self> {
        Self::all().collect()
    }
}

impl Release for FluxVersion {
    const WHAT: &str = "version of flux-core";
    const OLDEST: Self = Self::V0_50;
    const NEWEST: Self = Self::V0_88;

    fn all() -> Vec<Self> {
        Self::ALL.to_vec()
    }
}

/// Versions between two bounds, both included: `>=1.31`, `<1.31`, `1.28..1.30`, `1.36`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionRange<V = KubernetesVersion> {
    /// Oldest version.
    pub first: V,
    /// Newest version.
    pub last: V,
}

impl<V: Release> VersionRange<V> {
    /// Every version that there is.
    pub const ALL: Self = Self { first: V::OLDEST, last: V::NEWEST };

    /// This version alone.
    pub const fn only(version: V) -> Self {
        Self { first: version, last: version }
    }

    /// It is one of them.
    pub fn contains(&self, version: V) -> bool {
        self.first <= version && version <= self.last
    }

    /// Some version is in both.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// Its versions, oldest first.
    pub fn versions(&self) -> Vec<V> {
        V::all().into_iter().filter(|version| self.contains(*version)).collect()
    }
}

impl<V: Release> fmt::Display for VersionRange<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first == self.last {
            true => write!(f, "{}", self.first),
            false => write!(f, "{} to {}", self.first, self.last),
        }
    }
}

/// What one run is played with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stack {
    /// Kubernetes.
    pub kubernetes: KubernetesVersion,
    /// flux-core in the images of MiniClusters; `None`: the scenario has none.
    pub flux: Option<FluxVersion>,
}

impl From<KubernetesVersion> for Stack {
    fn from(kubernetes: KubernetesVersion) -> Self {
        Self { kubernetes, flux: None }
    }
}

impl fmt::Display for Stack {
    /// `1.36`, or `1.36 with Flux 0.61.2`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.flux {
            None => write!(f, "{}", self.kubernetes),
            Some(flux) => write!(f, "{} with Flux {flux}", self.kubernetes),
        }
    }
}
