//! The CURVE certificate that all brokers share: a key pair of Curve25519 as ZeroMQ writes it (Z85, RFC 32 of ZeroMQ, in ZPL,
//! RFC 4), in a Secret.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use towtank_api::MiniCluster;
use x25519_dalek::{PublicKey, StaticSecret};

use super::{metadata, secret_name};

/// Key of the Secret.
pub(crate) const KEY: &str = "curve.cert";
const ALPHABET: &[u8; 85] =
    b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

/// A certificate of a random secret key.
pub(crate) fn certificate(cluster: &str, secret: [u8; 32]) -> String {
    let secret = StaticSecret::from(secret);
    let public = PublicKey::from(&secret);
    format!(
        "#  One CURVE certificate for all brokers: who has it can join. Keep it secret.\n\n\
         metadata\n    name = \"flux-cert-generator\"\n    keygen.hostname = \"{cluster}-0\"\n\
         curve\n    public-key = \"{}\"\n    secret-key = \"{}\"\n",
        z85(public.as_bytes()),
        z85(&secret.to_bytes()),
    )
}

/// The Secret with a certificate.
pub fn secret(cluster: &MiniCluster, certificate: String) -> Secret {
    Secret {
        metadata: metadata(cluster, secret_name(&cluster.name_any())),
        type_: Some("Opaque".to_owned()),
        data: Some(BTreeMap::from([(KEY.to_owned(), ByteString(certificate.into_bytes()))])),
        ..Secret::default()
    }
}

/// Four bytes are five digits of base 85, the highest first.
fn z85(key: &[u8; 32]) -> String {
    let mut text = String::with_capacity(40);
    for word in key.chunks_exact(4) {
        let mut number = word.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
        let mut digits = ['0'; 5];
        for digit in digits.iter_mut().rev() {
            *digit = ALPHABET.get((number % 85) as usize).map_or('0', |digit| char::from(*digit));
            number /= 85;
        }
        text.extend(digits);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test vector of ZeroMQ's RFC 32, and the key pair of ZeroMQ's own CURVE example (zmq_curve(7)).
    #[test]
    fn keys_are_written_as_zeromq_does() {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&[0x86, 0x4F, 0xD2, 0x6F, 0xB5, 0x59, 0xF7, 0x5B]);
        assert_eq!(&z85(&key)[..10], "HelloWorld");
        let secret: [u8; 32] = [
            0x8E, 0x0B, 0xDD, 0x69, 0x76, 0x28, 0xB9, 0x1D, 0x8F, 0x24, 0x55, 0x87, 0xEE, 0x95, 0xC5, 0xB0,
            0x4D, 0x48, 0x96, 0x3F, 0x79, 0x25, 0x98, 0x77, 0xB4, 0x9C, 0xD9, 0x06, 0x3A, 0xEA, 0xD3, 0xB7,
        ];
        let text = certificate("flux-sample", secret);
        assert!(text.contains("secret-key = \"JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6\""), "{text}");
        assert!(text.contains("public-key = \"rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7\""), "{text}");
    }
}
