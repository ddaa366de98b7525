//! The HTTP client: TLS, time limits, redirections, and a limit on the bytes of an answer.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use http_body_util::{BodyExt as _, Limited};
use object_store::ClientConfigKey;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService,
};
use reqwest::Client;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::{Attempt, Policy};

/// The most bytes of an answer. A read asks for less, and a list of 1000 objects is smaller.
const MAX_ANSWER: usize = 16 << 20;
/// The most redirections of a request.
const MAX_REDIRECTS: usize = 5;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The time for which a server may send nothing.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// The most clients that are kept. A client keeps the connections to a server.
const MAX_CLIENTS: usize = 64;

/// Makes the clients of stores.
#[derive(Clone, Debug, Default)]
pub(super) struct Connector {
    /// The host of a web server. Requests to it may be redirected.
    web_host: Option<String>,
    clients: Arc<Mutex<HashMap<ClientKind, Client>>>,
}

/// What distinguishes clients.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct ClientKind {
    web_host: Option<String>,
    allows_http: bool,
    connect_timeout: Duration,
}

impl Connector {
    /// Returns a connector to a web server, which may redirect.
    pub(super) fn for_web(&self, host: &str) -> Self {
        Self {
            web_host: Some(host.to_owned()),
            clients: self.clients.clone(),
        }
    }

    fn client(
        &self,
        allows_http: bool,
        connect_timeout: Duration,
    ) -> Result<Client, reqwest::Error> {
        let kind = ClientKind {
            web_host: self.web_host.clone(),
            allows_http,
            connect_timeout,
        };
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&kind) {
            return Ok(client.clone());
        }
        // It fails only if a provider was chosen before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = Client::builder()
            .user_agent(concat!("flowloom/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(connect_timeout)
            .read_timeout(READ_TIMEOUT)
            .https_only(!allows_http)
            .redirect(Policy::none());
        if let Some(host) = &self.web_host {
            builder = builder
                .redirect(Policy::custom(follow))
                .dns_resolver(Arc::new(PublicAddresses {
                    first: host.clone(),
                }));
        }
        let client = builder.build()?;
        if clients.len() >= MAX_CLIENTS {
            clients.clear();
        }
        clients.insert(kind, client.clone());
        Ok(client)
    }
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let allows_http = options.get_config_value(&ClientConfigKey::AllowHttp);
        // It is shorter where a machine of a cloud may not be one.
        let connect_timeout = options
            .get_config_value(&ClientConfigKey::ConnectTimeout)
            .and_then(|text| text.strip_suffix('s')?.parse().ok())
            .map_or(CONNECT_TIMEOUT, Duration::from_secs);
        let client = self
            .client(allows_http.as_deref() == Some("true"), connect_timeout)
            .map_err(|error| object_store::Error::Generic {
                store: "HTTP client",
                source: Box::new(error),
            })?;
        Ok(HttpClient::new(LimitedAnswers(client)))
    }
}

/// A client that ends answers of too many bytes.
#[derive(Debug)]
struct LimitedAnswers(Client);

#[async_trait]
impl HttpService for LimitedAnswers {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let answer = HttpService::call(&self.0, request).await?;
        let (parts, body) = answer.into_parts();
        let body =
            Limited::new(body, MAX_ANSWER).map_err(|error| match error.downcast::<HttpError>() {
                Ok(error) => *error,
                Err(error) => HttpError::new_boxed(HttpErrorKind::Decode, error),
            });
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(body)))
    }
}

/// Follows a redirection of a web server, unless it leads to this machine or its link.
fn follow(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let is_local = match attempt.url().host() {
        Some(url::Host::Ipv4(address)) => is_local(address.into()),
        Some(url::Host::Ipv6(address)) => is_local(address.into()),
        // The resolver checks names.
        Some(url::Host::Domain(_)) => false,
        None => true,
    };
    match () {
        () if is_local => attempt.error("the server redirects to an address of this machine"),
        () if attempt.url().scheme() != "https" => {
            attempt.error("the server redirects to a URL that is not https")
        }
        () if attempt.previous().len() > MAX_REDIRECTS => {
            attempt.error("the server redirects too often")
        }
        () => attempt.follow(),
    }
}

/// Resolves names. A name that is not the server's own must not have addresses of this machine or its link.
struct PublicAddresses {
    first: String,
}

impl Resolve for PublicAddresses {
    fn resolve(&self, name: Name) -> Resolving {
        let is_first = name.as_str().eq_ignore_ascii_case(&self.first);
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let found: Vec<SocketAddr> = found
                .filter(|address| is_first || !is_local(address.ip()))
                .collect();
            if found.is_empty() {
                return Err("the server redirects to an address of this machine".into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Returns whether an address is that of this machine, of its link, or of no machine.
fn is_local(address: IpAddr) -> bool {
    /// The address at which Amazon's machines answer with their credentials.
    const METADATA: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    let is_local_v4 = |address: Ipv4Addr| {
        address.is_loopback()
            || address.is_link_local()
            || address.is_multicast()
            || address.is_broadcast()
            || address.octets()[0] == 0
    };
    match address {
        IpAddr::V4(address) => is_local_v4(address),
        IpAddr::V6(address) => {
            address.is_loopback()
                || address.is_unspecified()
                || address.is_multicast()
                || address.is_unicast_link_local()
                || address == METADATA
                || embedded(address).is_some_and(is_local_v4)
        }
    }
}

/// Returns the IPv4 address inside an IPv6 address: mapped, compatible, or translated (RFC 6052).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let parts = address.segments();
    match parts {
        [0, 0, 0, 0, 0, 0xffff | 0, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => {
            let [a, b] = parts[6].to_be_bytes();
            let [c, d] = parts[7].to_be_bytes();
            Some(Ipv4Addr::new(a, b, c, d))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_this_machine_and_its_link_are_local() {
        for address in [
            "127.0.0.1",
            "127.8.9.1",
            "169.254.169.254",
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "::1",
            "::",
            "fe80::1",
            "ff02::1",
            "fd00:ec2::254",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "::127.0.0.1",
        ] {
            assert!(is_local(address.parse().unwrap()), "{address}");
        }
        for address in [
            "10.0.0.1",
            "192.0.2.1",
            "2001:db8::1",
            "fd00::1",
            "64:ff9b::c000:201",
        ] {
            assert!(!is_local(address.parse().unwrap()), "{address}");
        }
    }
}
