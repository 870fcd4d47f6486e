//! TLS as the gateway serves it and as servers of others are asked over it, with the cryptography that links between peers
//! have: X25519 with ML-KEM-768 first.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::failure::Failure;
use crate::files::{read_named_secret, read_whole};

/// Who asks a server: it must show a certificate that an authority in the file, or without one an authority that the
/// operating system trusts, has signed for its name.
pub(crate) fn connector(authorities: Option<&Path>) -> Result<TlsConnector, Failure> {
    Ok(TlsConnector::from(client_config(authorities, None)?))
}

/// The same, for whoever may have a certificate and a key of his own to show.
pub(crate) fn client_config(
    authorities: Option<&Path>,
    own: Option<(&Path, &Path)>,
) -> Result<Arc<ClientConfig>, Failure> {
    let mut roots = RootCertStore::empty();
    match authorities {
        Some(path) => roots = believed(path)?,
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err(Failure::failed("this system has no certificates of authorities")
                    .hint(
                        "install its package ca-certificates, or name a file of them: --ca FILE",
                    ));
            }
        }
    }
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::bug(error.to_string()))?
        .with_root_certificates(roots);
    let config = match own {
        None => config.with_no_client_auth(),
        Some((certificate, key)) => config
            .with_client_auth_cert(certificates(certificate)?, secret(key)?)
            .map_err(|error| unfit(certificate, key, &error))?,
    };
    Ok(Arc::new(config))
}

fn believed(path: &Path) -> Result<RootCertStore, Failure> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots
            .add(certificate)
            .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    }
    Ok(roots)
}

/// Who serves: with the certificates of a file, its own first, and the key of another, both in PEM.
pub(crate) fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor, Failure> {
    let mut config = server(certificate, key, None)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// The same without HTTP; where authorities are named, only for clients with a certificate of theirs.
pub(crate) fn server_config(
    (certificate, key): (&Path, &Path),
    clients: Option<&Path>,
) -> Result<Arc<ServerConfig>, Failure> {
    server(certificate, key, clients).map(Arc::new)
}

fn server(certificate: &Path, key: &Path, clients: Option<&Path>) -> Result<ServerConfig, Failure> {
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::bug(error.to_string()))?;
    let config = match clients {
        None => config.with_no_client_auth(),
        Some(path) => {
            let roots = Arc::new(believed(path)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
            let verifier = verifier
                .build()
                .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
            config.with_client_cert_verifier(verifier)
        }
    };
    config
        .with_single_cert(certificates(certificate)?, secret(key)?)
        .map_err(|error| unfit(certificate, key, &error))
}

fn secret(key: &Path) -> Result<PrivateKeyDer<'static>, Failure> {
    let secret = read_named_secret(key, PEM_BYTES_MAX)?;
    PrivateKeyDer::from_pem_slice(&secret)
        .map_err(|_| Failure::usage(format!("{} holds no private key in PEM", key.display())))
}

fn unfit(certificate: &Path, key: &Path, error: &tokio_rustls::rustls::Error) -> Failure {
    Failure::usage(format!("{} and {}: {error}", certificate.display(), key.display()))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let absent = || Failure::usage(format!("{} is not there", path.display()));
    let bytes = read_whole(path, PEM_BYTES_MAX)?.ok_or_else(absent)?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(Failure::usage(format!("{} holds no certificates in PEM", path.display()))),
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Largest file of certificates or of a key.
const PEM_BYTES_MAX: usize = 1024 * 1024;
