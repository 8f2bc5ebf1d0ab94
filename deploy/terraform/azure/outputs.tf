output "url" {
  description = "Where the exporter is reached from within the virtual network."
  value       = "http://${azurerm_network_interface.exporter.private_ip_address}:${local.port}"
}

output "identity_client_id" {
  description = "Client id of the exporter's identity: `azuread: {managed_identity: {client_id: ...}}` in afdp.yml."
  value       = azurerm_user_assigned_identity.exporter.client_id
}

output "identity_principal_id" {
  description = "Principal id of the exporter's identity, for rights that a source or receiver of yours needs beyond Azure Monitor."
  value       = azurerm_user_assigned_identity.exporter.principal_id
}

output "disk_id" {
  description = "Disk that holds the store; a snapshot of it is the store at one moment."
  value       = azurerm_managed_disk.store.id
}
