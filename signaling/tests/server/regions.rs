//! Which STUN and TURN servers clients of a country are told, whichever way they come.

use hyper::header::LINK;
use klieg_signaling::{Config, IceRegion, Secret};
use serde_json::{Value, json};

use crate::harness::{Client, TestServer, offer};
use crate::wish::{KEY, SDP, request};

const COUNTRY: &str = "cf-ipcountry";

fn two_places(config: &mut Config) {
    config.analytics.region_header = Some(COUNTRY.to_owned());
    config.ice.turn_secret = Some(Secret::new("a secret of some length"));
    config.ice.turn_urls = vec!["turn:paris.example".to_owned()];
    config.ice.regions = vec![IceRegion {
        countries: vec!["VN".to_owned(), "TH".to_owned()],
        turn_urls: vec!["turn:hanoi.example".to_owned()],
        ..IceRegion::default()
    }];
}

fn urls(told: &Value) -> Value {
    told["iceServers"][0]["urls"].clone()
}

#[tokio::test]
async fn clients_are_told_the_servers_of_their_country_by_rest_by_socket_and_by_whip() {
    let server = TestServer::start_with(two_places).await;
    let bob = server.token("Bob").await;
    for (country, host) in [("TH", "turn:hanoi.example"), ("FR", "turn:paris.example")] {
        let from = (COUNTRY, country);
        let joined = request(&server, "POST", "/api/v1/rooms/demo/join", &[from], "").await;
        assert_eq!(urls(&joined.body), json!([host]), "{}", joined.body);

        let mut client = Client::connect(server.http(), &[from]).await.unwrap();
        client.ok("auth", json!({ "token": bob })).await;
        client.ok("join", json!({ "roomId": "demo" })).await;
        let joined = client.expect("joined").await;
        assert_eq!(urls(&joined["d"]), json!([host]), "{joined}");

        let headers = [KEY, SDP, from];
        let made = request(&server, "POST", "/whip/demo", &headers, offer()).await;
        assert_eq!(made.status, 201, "{}", made.body);
        let mut links = made.headers.get_all(LINK).iter();
        let named = links.any(|link| link.to_str().unwrap().contains(host));
        assert!(named, "{:?}", made.headers);
    }
}

#[test]
fn countries_that_nobody_tells_are_refused() {
    let mut config = Config::default();
    two_places(&mut config);
    config.validate().unwrap();
    config.analytics.region_header = None;
    let said = config.validate().unwrap_err().to_string();
    assert!(said.contains("config: ice.regions: nothing says"), "{said}");
}
