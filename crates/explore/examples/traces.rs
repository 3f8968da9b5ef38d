//! Prints a digest of the trace of one random story per seed: the same bytes whatever the build, or something draws
//! from where it must not. `cargo xtask test` compares the debug and the release build.

use std::fmt::Write as _;

use towtank_explore::story::Story;
use towtank_model::version::KubernetesVersion;

/// 64-bit FNV-1a over everything that is formatted into it.
struct Digest(u64);

impl std::fmt::Write for Digest {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Ok(())
    }
}

fn main() -> std::process::ExitCode {
    let versions: Vec<KubernetesVersion> = KubernetesVersion::all().collect();
    for seed in 0..1_000 {
        let version = versions[seed % versions.len()];
        let played = match Story::random(version, seed as u64, 24).play() {
            Ok(played) => played,
            Err(broken) => {
                eprintln!("seed {seed}, Kubernetes {version}: {broken}");
                return std::process::ExitCode::FAILURE;
            }
        };
        let mut digest = Digest(0xcbf2_9ce4_8422_2325);
        for entry in &played.trace {
            // Formatting into a digest cannot fail.
            let _ = writeln!(digest, "{entry:?}");
        }
        println!("{seed} {version} {} entries {:016x}", played.trace.len(), digest.0);
    }
    std::process::ExitCode::SUCCESS
}
