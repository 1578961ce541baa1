//! Which permission each method needs: the one table.

use crate::domain::access::Permission::{self, Any, Bus, Read, Write};

/// Services that answer everybody.
const OPEN: [&str; 3] =
    ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"];

/// What each method needs.
const METHODS: [(&str, Permission); 26] = [
    ("/plugd.v1.PluginService/InstallPlugin", Write),
    ("/plugd.v1.PluginService/InstallPluginFromUrl", Write),
    ("/plugd.v1.PluginService/RegisterExternalPlugin", Write),
    ("/plugd.v1.PluginService/ListPlugins", Read),
    ("/plugd.v1.PluginService/GetPlugin", Read),
    ("/plugd.v1.PluginService/DeletePlugin", Write),
    ("/plugd.v1.PluginService/SetActiveState", Write),
    ("/plugd.v1.PluginService/RestartPlugin", Write),
    ("/plugd.v1.PluginService/WatchState", Read),
    ("/plugd.v1.PluginService/UpdatePackage", Write),
    ("/plugd.v1.PluginService/RollbackPackage", Write),
    ("/plugd.v1.PluginService/DownloadPackage", Read),
    ("/plugd.v1.PluginService/UpdateManifest", Write),
    ("/plugd.v1.PluginService/CycleToken", Write),
    ("/plugd.v1.PluginService/GetConfigurationSchema", Read),
    ("/plugd.v1.PluginService/GetConfiguration", Read),
    ("/plugd.v1.PluginService/UpdateConfiguration", Write),
    ("/plugd.v1.PluginService/ListConfigurationRevisions", Read),
    ("/plugd.v1.PluginService/StreamLogs", Read),
    ("/plugd.v1.BusService/PublishEvent", Bus),
    ("/plugd.v1.BusService/CallPlugin", Bus),
    ("/plugd.v1.BusService/ServeHost", Bus),
    ("/plugd.v1.AccessService/WhoAmI", Any),
    ("/plugd.v1.AccessService/CreateToken", Write),
    ("/plugd.v1.AccessService/ListTokens", Write),
    ("/plugd.v1.AccessService/RevokeToken", Write),
];

/// What a call of this path needs; none if it is open to everybody. An unknown method is for administrators.
#[must_use]
pub fn needed(path: &str) -> Option<Permission> {
    let service = path.strip_prefix('/').and_then(|path| path.split_once('/')).map(|(service, _)| service);
    if service.is_some_and(|service| OPEN.contains(&service)) {
        return None;
    }
    Some(METHODS.iter().find(|(method, _)| *method == path).map_or(Write, |(_, permission)| *permission))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message;
    use prost_types::FileDescriptorSet;

    use super::*;
    use crate::api::DESCRIPTOR_SET;

    #[test]
    fn the_table_has_exactly_the_methods_of_the_api() {
        let mut methods = BTreeSet::new();
        for file in FileDescriptorSet::decode(DESCRIPTOR_SET).unwrap().file {
            for service in &file.service {
                let path = |method: &str| format!("/{}.{}/{method}", file.package(), service.name());
                methods.extend(service.method.iter().map(|method| path(method.name())));
            }
        }
        let table: BTreeSet<_> = METHODS.iter().map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(table, methods);
        assert_eq!(table.len(), METHODS.len());
    }

    #[test]
    fn health_and_reflection_are_open_and_the_unknown_is_for_administrators() {
        assert_eq!(needed("/grpc.health.v1.Health/Check"), None);
        assert_eq!(needed("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"), None);
        for path in ["", "/", "/plugd.v1.PluginService/Nope", "grpc.health.v1.Health/Check", "/grpc.health.v1.Health"] {
            assert_eq!(needed(path), Some(Write), "{path}");
        }
        assert_eq!(needed("/plugd.v1.PluginService/WatchState"), Some(Read));
    }
}
