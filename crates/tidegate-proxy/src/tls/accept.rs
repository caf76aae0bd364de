//! From a client's first byte to an encrypted connection.

use super::challenges::ACME_TLS;
use super::client_hello::{ClientHello, HelloError, HelloParser};
use super::session::Role;
use super::turns::{PATIENCE_MIN, Turns};
use super::{Terminator, TlsStream};
use crate::timers::{Alarm, after, now};
use rustls::server::UnbufferedServerConnection;
use rustls::{CertificateError, Error, HandshakeKind, PeerIncompatible};
use std::future::{Future, poll_fn};
use std::pin::pin;
use tidegate_balance::Moment;

/// How a handshake ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// The client was not content: with our certificate, most often.
    Alert,
    /// An authority has seen what it wanted to see; nothing else is served on such a connection (RFC 8737 §3), on which nobody
    /// was asked for a certificate.
    Challenge,
    /// The client's certificate is expired, or from nobody who may vouch for it.
    ClientCertBad,
    ClientCertMissing,
    ClientCertRevoked,
    /// The client closed, or broke off.
    ClientGone,
    /// What came made no sense.
    Failed,
    /// With everything that a first meeting takes.
    Full,
    /// As many were under way as may be: it had no turn in time, or took too long while others had none.
    Limit,
    /// Nothing that the client offers to speak (ALPN) is spoken here.
    NoSharedProtocol,
    /// Nothing that both would sign with.
    NoSharedSignature,
    NoSharedSuite,
    NoSharedVersion,
    /// What the client sent is not TLS.
    NotTls,
    /// With a ticket from an earlier connection.
    Resumed,
    Timeout,
}

impl Handshake {
    pub(crate) const ALL: [Self; 16] = [
        Self::Alert,
        Self::ClientCertBad,
        Self::ClientCertMissing,
        Self::ClientCertRevoked,
        Self::NoSharedProtocol,
        Self::NoSharedSignature,
        Self::NoSharedSuite,
        Self::NoSharedVersion,
        Self::Challenge,
        Self::ClientGone,
        Self::Failed,
        Self::Full,
        Self::Limit,
        Self::NotTls,
        Self::Resumed,
        Self::Timeout,
    ];

    /// The value of the metric's label.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::ClientCertBad => "client_cert_bad",
            Self::ClientCertMissing => "client_cert_missing",
            Self::ClientCertRevoked => "client_cert_revoked",
            Self::NoSharedProtocol => "no_shared_protocol",
            Self::NoSharedSignature => "no_shared_signature",
            Self::NoSharedSuite => "no_shared_suite",
            Self::NoSharedVersion => "no_shared_version",
            Self::Challenge => "challenge",
            Self::ClientGone => "client_gone",
            Self::Failed => "failed",
            Self::Full => "full",
            Self::Limit => "limit",
            Self::NotTls => "not_tls",
            Self::Resumed => "resumed",
            Self::Timeout => "timeout",
        }
    }

    fn failed_by(error: &Error, knows_tls12: bool) -> Self {
        use PeerIncompatible as Lacks;
        match error {
            Error::AlertReceived(_) => Self::Alert,
            Error::InvalidCertificate(CertificateError::Revoked) => Self::ClientCertRevoked,
            Error::InvalidCertificate(_) => Self::ClientCertBad,
            Error::NoApplicationProtocol => Self::NoSharedProtocol,
            Error::NoCertificatesPresented => Self::ClientCertMissing,
            Error::PeerIncompatible(Lacks::NoCipherSuitesInCommon | Lacks::NoKxGroupsInCommon) => {
                Self::NoSharedSuite
            }
            // Looked for before the version, and unknown before TLS 1.2. Whoever speaks that and leaves it out means SHA-1 (RFC 5246
            // §7.4.1.4.1).
            Error::PeerIncompatible(Lacks::SignatureAlgorithmsExtensionRequired) if !knows_tls12 => {
                Self::NoSharedVersion
            }
            Error::PeerIncompatible(
                Lacks::SignatureAlgorithmsExtensionRequired | Lacks::NoSignatureSchemesInCommon,
            ) => Self::NoSharedSignature,
            Error::PeerIncompatible(
                Lacks::SupportedVersionsExtensionRequired
                | Lacks::Tls12NotOffered
                | Lacks::Tls12NotOfferedOrEnabled,
            ) => Self::NoSharedVersion,
            _ => Self::Failed,
        }
    }

    /// As a cause in the log, where it is somebody's fault.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Alert => "handshake_alert",
            Self::ClientCertBad => "handshake_client_cert_bad",
            Self::ClientCertMissing => "handshake_client_cert_missing",
            Self::ClientCertRevoked => "handshake_client_cert_revoked",
            Self::Limit => "handshake_limit",
            Self::NoSharedProtocol => "handshake_no_shared_protocol",
            Self::NoSharedSignature => "handshake_no_shared_signature",
            Self::NoSharedSuite => "handshake_no_shared_suite",
            Self::NoSharedVersion => "handshake_no_shared_version",
            Self::NotTls => "handshake_not_tls",
            Self::Timeout => "handshake_timeout",
            _ => "handshake_failed",
        }
    }

    /// It failed, and not because the client thought better of it.
    pub(crate) fn is_a_fault(self) -> bool {
        !matches!(self, Self::Challenge | Self::ClientGone | Self::Full | Self::Resumed)
    }

    pub(crate) fn succeeded(self) -> bool {
        matches!(self, Self::Full | Self::Resumed)
    }
}

/// Agrees with the client on keys, when it is its turn. `received` is what has been read from the connection.
pub(crate) async fn accept(
    tls: &TlsStream,
    terminator: &Terminator,
    turns: &Turns,
    received: &[u8],
    alarm: &Alarm,
    deadline: Moment,
) -> Handshake {
    let mut received = received.to_vec();
    let (hello, knows_tls12) = match alarm.within(deadline, read_hello(tls, &mut received)).await {
        Ok(Ok(hello)) => hello,
        Ok(Err(ended)) => return ended,
        Err(_) => return Handshake::Timeout,
    };
    let Ok(_under_way) = alarm.within(deadline, turns.next()).await else { return Handshake::Limit };
    while_it_may(turns, alarm, deadline, agree(tls, terminator, hello, knows_tls12, &received)).await
}

/// Sees to it that whoever begins and then falls silent keeps nobody waiting for long.
async fn while_it_may(
    turns: &Turns,
    alarm: &Alarm,
    deadline: Moment,
    agreed: impl Future<Output = Handshake>,
) -> Handshake {
    let mut agreed = pin!(agreed);
    let began = now();
    loop {
        let until = deadline.min(after(now(), PATIENCE_MIN));
        if let Ok(ended) = alarm.within(until, agreed.as_mut()).await {
            return ended;
        }
        if until == deadline || now() < until {
            return Handshake::Timeout; // or the worker's time is over
        }
        if turns.are_too_few() && now().since(began) >= turns.patience() {
            return Handshake::Limit;
        }
    }
}

async fn agree(
    tls: &TlsStream,
    terminator: &Terminator,
    hello: ClientHello,
    knows_tls12: bool,
    received: &[u8],
) -> Handshake {
    let is_authority = hello.protocols.iter().any(|protocol| protocol == ACME_TLS);
    let proof =
        if is_authority { terminator.challenges.certificate(hello.server_name.as_deref()) } else { None };
    let is_proof = proof.is_some();
    let config = proof.unwrap_or_else(|| terminator.config.load_full());
    let Ok(server) = UnbufferedServerConnection::new(config) else {
        return Handshake::Failed;
    };
    tls.begin(Role::Server(server), hello.server_name, received);
    let agreed = poll_fn(|cx| tls.poll_handshake(cx)).await;
    if agreed.is_ok() {
        tls.learn_client(terminator);
    }
    match agreed {
        Err(_) if tls.is_gone() => Handshake::ClientGone,
        Err(error) => Handshake::failed_by(&error, knows_tls12),
        Ok(()) if is_proof => Handshake::Challenge,
        Ok(()) if tls.handshake_kind() == Some(HandshakeKind::Resumed) => Handshake::Resumed,
        Ok(()) => Handshake::Full,
    }
}

/// What the client wants, before anything is decided, and whether it knows TLS 1.2.
async fn read_hello(tls: &TlsStream, received: &mut Vec<u8>) -> Result<(ClientHello, bool), Handshake> {
    let mut parser = HelloParser::default();
    loop {
        match parser.parse(received) {
            Ok(Some(hello)) => return Ok((hello, parser.knows_tls12())),
            Ok(None) => {}
            Err(HelloError::NotTls) => return Err(Handshake::NotTls),
            Err(HelloError::Malformed | HelloError::TooLong) => return Err(Handshake::Failed),
        }
        if poll_fn(|cx| tls.poll_receive(cx, received)).await.is_err() {
            return Err(Handshake::ClientGone);
        }
    }
}
