//! The `access` claim of a registry's token (distribution's "Docker Registry v2
//! authentication via central service"): what it was made for.

use serde::Deserialize;
use serde_json::Value;

use super::Invalid;
use crate::auth::caller::Scope;
use crate::oci::Actions;

/// The most entries of a claim.
const MAX_ENTRIES: usize = 1024;

/// One entry of the claim; `class` and whatever else stands there doesn't
/// matter, as in registry:2.
#[derive(Deserialize)]
struct Entry {
    r#type: String,
    name: String,
    actions: Vec<String>,
}

/// Reads the claim. Without it, or where it is `null` as Go writes a list
/// without entries, nothing is allowed. Kinds of resources, names and actions
/// that mean nothing here give nothing.
pub(in crate::auth) fn read(claim: Option<&Value>) -> Result<Scope, Invalid> {
    let mut scope = Scope::default();
    let Some(claim) = claim.filter(|claim| !claim.is_null()) else {
        return Ok(scope);
    };
    let entries = Vec::<Entry>::deserialize(claim).map_err(|_| Invalid::Claim("access"))?;
    if entries.len() > MAX_ENTRIES {
        return Err(Invalid::Claim("access"));
    }
    for Entry {
        r#type,
        name,
        actions,
    } in entries
    {
        let all = actions.iter().any(|action| action == "*");
        match r#type.as_str() {
            "registry" if name == "catalog" => scope.catalog |= all,
            "repository" => {
                let Ok(name) = name.parse() else { continue };
                let known = actions.iter().filter_map(|action| action.parse().ok());
                let actions = if all { Actions::ALL } else { known.collect() };
                scope.repositories.push((name, actions));
            }
            _ => {}
        }
    }
    Ok(scope)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_it_names_is_allowed_and_nothing_else() {
        let scope = read(Some(&json!([
            {"type": "repository", "name": "a/b", "actions": ["pull", "fly"], "class": "image"},
            {"type": "repository", "name": "a/b", "actions": ["delete"]},
            {"type": "repository", "name": "all", "actions": ["*"]},
            {"type": "repository", "name": "NO/../name", "actions": ["*"]},
            {"type": "plugin", "name": "c", "actions": ["*"]},
            {"type": "registry", "name": "catalog", "actions": ["*"]},
        ])))
        .unwrap();
        let of = |name: &str| scope.actions(&name.parse().unwrap()).to_string();
        assert_eq!(of("a/b"), "pull,delete");
        assert_eq!(of("all"), Actions::ALL.to_string());
        assert_eq!(of("c"), "");
        assert!(scope.catalog);
    }

    #[test]
    fn a_catalog_needs_the_star() {
        let only = |actions| json!([{"type": "registry", "name": "catalog", "actions": actions}]);
        assert!(!read(Some(&only(json!(["pull"])))).unwrap().catalog);
        assert!(read(Some(&only(json!(["*"])))).unwrap().catalog);
    }

    #[test]
    fn without_the_claim_nothing_is_allowed() {
        assert_eq!(read(None), Ok(Scope::default()));
        assert_eq!(read(Some(&Value::Null)), Ok(Scope::default()));
        assert_eq!(read(Some(&json!([]))), Ok(Scope::default()));
    }

    #[test]
    fn what_is_no_such_list_is_a_mistake() {
        for wrong in [
            json!("repository:a:pull"),
            json!({"type": "repository"}),
            json!([1]),
            json!([{"type": "repository", "name": "a"}]),
            json!([{"type": "repository", "name": "a", "actions": "pull"}]),
            json!([{"type": "repository", "name": ["a"], "actions": ["pull"]}]),
        ] {
            assert_eq!(read(Some(&wrong)), Err(Invalid::Claim("access")), "{wrong}");
        }
    }
}
