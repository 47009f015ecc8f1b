//! The harness itself: a server starts, answers, restarts and stops.

use crate::support::{Needs, Program, Registry};

#[test]
fn a_server_restarts_on_its_port_and_volume() {
    let mut registry = Registry::with().tls().user("moby", "gordon").start();
    let port = registry.port();
    assert_eq!(
        registry.request("GET", "/v2/").send().unwrap().status(),
        200
    );
    registry.restart();
    assert_eq!(registry.port(), port);
    let anonymous = registry.client().get(registry.url() + "/v2/").send();
    assert_eq!(anonymous.unwrap().status(), 401);
    registry.stop();
}

#[test]
fn the_reference_registry_starts_in_the_same_way() {
    let needs = Needs::of("docker-registry");
    if !needs
        .program("docker-registry", "apt install docker-registry")
        .met()
    {
        return;
    }
    let registry = Registry::with().program(Program::Distribution).start();
    assert_eq!(
        registry.request("GET", "/v2/").send().unwrap().status(),
        200
    );
}
