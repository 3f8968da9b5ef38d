//! The reference: Kubernetes' own Job controller and API rules, carried by a Go driver (`reference/` at the top of the
//! repository) and put in the place of the model's.

pub mod driver;
pub mod wire;
