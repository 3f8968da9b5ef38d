//! Kubernetes' own Job controller and registry as a world to compare with: a driver written in Go, one binary for each
//! version of Kubernetes (`reference/` in the repository).

pub mod build;
