output "url" {
  description = "Where the exporter is reached from within the network."
  value       = "http://${google_compute_instance.exporter.network_interface[0].network_ip}:${local.port}"
}

output "service_account" {
  description = "Account of the exporter, for rights that a source or receiver of yours needs beyond Cloud Monitoring."
  value       = google_service_account.exporter.email
}

output "disk" {
  description = "Disk that holds the store; a snapshot of it is the store at one moment."
  value       = google_compute_disk.store.name
}
