//! A certificate authority for one run, the one certificate that all its servers show, the key that signs tokens of service accounts, and the tokens of three users.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

use crate::error::ControlPlaneError;

/// Names and addresses under which the servers are reached.
const NAMES: [&str; 2] = ["localhost", "127.0.0.1"];

/// Who is who in one run.
pub(crate) struct Identity {
    /// The authority's certificate, as PEM and as DER.
    pub(crate) ca_pem: String,
    pub(crate) ca_der: Vec<u8>,
    /// The certificate of all servers on the loopback interface. etcd's clients show it too: etcd lets nobody else in.
    pub(crate) cert_pem: String,
    pub(crate) key_pem: String,
    /// The key that signs tokens of service accounts, and the public one that verifies them.
    pub(crate) service_account_pem: String,
    pub(crate) service_account_public_pem: String,
    pub(crate) tokens: Tokens,
}

/// Bearer tokens.
pub(crate) struct Tokens {
    pub(crate) admin: String,
    pub(crate) controller_manager: String,
    pub(crate) scheduler: String,
}

impl Identity {
    pub(crate) fn create() -> Result<Self, ControlPlaneError> {
        let mut ca = CertificateParams::new(Vec::new())?;
        ca.distinguished_name.push(DnType::CommonName, "Towtank control plane");
        ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate()?)?;
        let mut leaf = CertificateParams::new(NAMES.map(String::from))?;
        leaf.distinguished_name.push(DnType::CommonName, "localhost");
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate()?;
        let certificate = leaf.signed_by(&key, &ca)?;
        let service_account = KeyPair::generate()?;
        let tokens = Tokens {
            admin: random_hex(16)?,
            controller_manager: random_hex(16)?,
            scheduler: random_hex(16)?,
        };
        Ok(Self {
            ca_pem: ca.pem(),
            ca_der: ca.der().to_vec(),
            cert_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            service_account_pem: service_account.serialize_pem(),
            service_account_public_pem: service_account.public_key_pem(),
            tokens,
        })
    }
}

impl Tokens {
    /// The file of static tokens: token, user, id, groups. The names of the controllers and of the scheduler are those to which Kubernetes' own roles are bound.
    pub(crate) fn file(&self) -> String {
        let Self { admin, controller_manager, scheduler } = self;
        format!(
            "{admin},admin,admin,system:masters\n\
             {controller_manager},system:kube-controller-manager,controller-manager\n\
             {scheduler},system:kube-scheduler,scheduler\n"
        )
    }
}

/// So many random bytes, as hexadecimal digits.
pub(crate) fn random_hex(bytes: usize) -> Result<String, ControlPlaneError> {
    let mut random = vec![0; bytes];
    getrandom::fill(&mut random)
        .map_err(|error| ControlPlaneError::Machine(format!("no random numbers: {error}")))?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}
