# One machine of Compute Engine with the exporter as its only container, the store on a disk of its own.
# docs/clouds.md says what it may do, and why it is no Cloud Run service.
terraform {
  required_version = ">= 1.5"
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 6.0"
    }
  }
}

provider "google" {
  project = var.project
  zone    = var.zone
}

locals {
  port = 10333
  disk = "afdp-store"
  settings = {
    AFDP_IMAGE      = var.image
    AFDP_DEVICE     = "/dev/disk/by-id/google-${local.disk}"
    AFDP_STORE      = "/mnt/disks/afdp"
    AFDP_CONFIG_URL = "https://secretmanager.googleapis.com/v1/projects/${var.project}/secrets/${var.config_secret}/versions/latest:access"
  }
  cloud_config = {
    write_files = [
      { path = "/etc/afdp/run.sh", permissions = "0644", content = file("${path.module}/run.sh") },
      { path = "/etc/afdp/env", permissions = "0644", content = join("\n", [for key, value in local.settings : "${key}=${value}"]) },
      { path = "/etc/systemd/system/afdp-exporter.service", permissions = "0644", content = file("${path.module}/afdp-exporter.service") },
    ]
    runcmd = [["systemctl", "daemon-reload"], ["systemctl", "start", "--no-block", "afdp-exporter.service"]]
  }
}

# --- What it may do
resource "google_service_account" "exporter" {
  account_id   = var.name
  display_name = "afdp-exporter"
}

resource "google_project_iam_member" "read_metrics" {
  project = var.project
  role    = "roles/monitoring.viewer"
  member  = google_service_account.exporter.member
}

resource "google_secret_manager_secret_iam_member" "read_config" {
  project   = var.project
  secret_id = var.config_secret
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.exporter.member
}

resource "google_artifact_registry_repository_iam_member" "pull" {
  count      = var.image_repository == null ? 0 : 1
  project    = var.image_repository.project
  location   = var.image_repository.location
  repository = var.image_repository.repository
  role       = "roles/artifactregistry.reader"
  member     = google_service_account.exporter.member
}

# --- Who reaches it
data "google_compute_subnetwork" "exporter" {
  name = var.subnetwork
  # A zone is its region and a letter.
  region = join("-", slice(split("-", var.zone), 0, 2))
}

resource "google_compute_firewall" "closed" {
  name                    = "${var.name}-closed"
  network                 = data.google_compute_subnetwork.exporter.network
  priority                = 65000
  target_service_accounts = [google_service_account.exporter.email]
  source_ranges           = ["0.0.0.0/0"]
  deny {
    protocol = "all"
  }
}

resource "google_compute_firewall" "callers" {
  count                   = length(var.allowed_cidr_blocks) > 0 ? 1 : 0
  name                    = "${var.name}-callers"
  network                 = data.google_compute_subnetwork.exporter.network
  target_service_accounts = [google_service_account.exporter.email]
  source_ranges           = var.allowed_cidr_blocks
  allow {
    protocol = "tcp"
    ports    = [local.port]
  }
}

# --- The store and the machine
resource "google_compute_disk" "store" {
  name = "${var.name}-store"
  type = "pd-balanced"
  size = var.disk_size_gb
  lifecycle {
    prevent_destroy = true
  }
}

resource "google_compute_instance" "exporter" {
  name                      = var.name
  machine_type              = var.machine_type
  allow_stopping_for_update = true

  boot_disk {
    initialize_params {
      image = "projects/cos-cloud/global/images/family/cos-stable"
    }
  }
  attached_disk {
    source      = google_compute_disk.store.id
    device_name = local.disk
  }
  network_interface {
    subnetwork = data.google_compute_subnetwork.exporter.self_link
  }
  # The roles above say what it may do; the scope only lets it use them.
  service_account {
    email  = google_service_account.exporter.email
    scopes = ["cloud-platform"]
  }
  shielded_instance_config {
    enable_secure_boot = true
  }
  metadata = {
    user-data              = "#cloud-config\n${yamlencode(local.cloud_config)}"
    block-project-ssh-keys = "true"
  }
  depends_on = [google_secret_manager_secret_iam_member.read_config, google_artifact_registry_repository_iam_member.pull]
}
