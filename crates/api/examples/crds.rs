//! Prints the CustomResourceDefinition as YAML: `cargo xtask crds` writes it to deploy/crds.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("# Made by `cargo xtask crds` from crates/api.");
    println!("{}", serde_saphyr::to_string(&towtank_api::manifest())?.trim_end());
    Ok(())
}
