//! What those do who look after the server. On both databases.

use klieg_signaling::AccountRole;
use serde_json::{Value, json};

use crate::harness::TestServer;

/// Makes the account of an admin, and returns a token of theirs.
pub(crate) async fn admin(server: &TestServer) -> String {
    let mut config = server.config.clone();
    config.new_account_role = AccountRole::Admin;
    server.server.reload(&config);
    let body = json!({ "username": "Root", "password": "correct horse" });
    let made = server.post("/api/v1/auth/register", None, body).await;
    made.body["accessToken"].as_str().unwrap().to_owned()
}

fn titles(page: &Value) -> Vec<&str> {
    let items = page["items"].as_array().unwrap();
    items
        .iter()
        .map(|room| room["title"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn an_admin_finds_every_room_whoever_may_know_of_it() {
    for server in TestServer::on_each(|_| ()).await {
        let root = admin(&server).await;
        let ann = server.token("Ann").await;
        for (title, visibility) in [
            ("Open", "public"),
            ("Linked", "unlisted"),
            ("Own", "private"),
        ] {
            let body = json!({ "title": title, "visibility": visibility });
            server.room(&ann, body).await;
        }
        let list = async |query: &str| {
            let path = format!("/api/v1/admin/rooms?sort=newest&{query}");
            let reply = server.get(&path, Some(&root)).await;
            assert_eq!(reply.status, 200, "{}", reply.body);
            reply.body
        };
        let all = list("").await;
        assert_eq!(titles(&all)[..3], ["Own", "Linked", "Open"]);
        assert_eq!(titles(&list("visibility=private").await), ["Own"]);
        assert_eq!(titles(&list("q=linked").await), ["Linked"]);
        assert_eq!(titles(&list("status=live").await), [""; 0]);
        // Page by page it is the same list.
        let first = list("limit=2").await;
        let cursor = first["nextCursor"].as_str().unwrap();
        let rest = list(&format!("limit=2&cursor={cursor}")).await;
        assert_eq!([titles(&first), titles(&rest)].concat(), titles(&all));
        // Elsewhere an admin sees what everybody sees.
        let listed = server.get("/api/v1/rooms?q=own", Some(&root)).await.body;
        assert_eq!(titles(&listed), [""; 0]);
        let refused = server.get("/api/v1/admin/rooms", Some(&ann)).await;
        assert_eq!(
            (refused.status, &refused.body["code"]),
            (403, &json!("forbidden"))
        );
        server.server.stop().await;
    }
}

#[tokio::test]
async fn a_clean_up_on_demand_cancels_what_nobody_used() {
    let servers = TestServer::on_each(|config| {
        config.cleanup_ms = 3_600_000;
        config.ready_room_ttl_s = 1;
    });
    for server in servers.await {
        let root = admin(&server).await;
        let ann = server.token("Ann").await;
        let path = "/api/v1/rooms?start=true";
        let room = server.post(path, Some(&ann), json!({ "title": "R" })).await;
        let id = room.body["id"].as_str().unwrap().to_owned();
        let clean_up = async || {
            let reply = server
                .post("/api/v1/admin/cleanup", Some(&root), json!({}))
                .await;
            assert_eq!(reply.status, 200, "{}", reply.body);
            reply.body["cancelled"].as_u64().unwrap()
        };
        // Until it has had its second.
        while clean_up().await == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        let now = server.get(&format!("/api/v1/rooms/{id}"), None).await.body;
        assert_eq!(now["status"], "cancelled");
        assert_eq!(clean_up().await, 0);
        server.server.stop().await;
    }
}
