variable "project" {
  description = "Id of the project in which the exporter runs and whose metrics it reads."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project))
    error_message = "A project's id, not its number or its title."
  }
}

variable "zone" {
  description = "Zone of the machine and its disk, such as europe-west1-b."
  type        = string
  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+-[a-z]$", var.zone))
    error_message = "A zone, such as europe-west1-b."
  }
}

variable "name" {
  description = "Name of what is created."
  type        = string
  default     = "afdp-exporter"
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,23}[a-z0-9]$", var.name))
    error_message = "6 to 25 lower-case letters, digits and hyphens; a letter first."
  }
}

variable "image" {
  description = "Image built from deploy/docker/Dockerfile in your registry, best by digest: HOST/NAME@sha256:..."
  type        = string
  validation {
    condition     = can(regex("^[^\\s/]+/[^\\s]+(@sha256:[0-9a-f]{64}|:[\\w.-]+)$", var.image))
    error_message = "A registry's host, a name, and a tag or a digest."
  }
}

variable "image_repository" {
  description = "Artifact Registry repository that holds the image; null where it is pulled without a login."
  type        = object({ project = string, location = string, repository = string })
  default     = null
  validation {
    condition     = var.image_repository == null || !strcontains(try(var.image_repository.repository, ""), "/")
    error_message = "`repository` is the repository's short name."
  }
}

variable "config_secret" {
  description = "Name of the Secret Manager secret of the project whose text is afdp.yml, made beforehand so that it is in no Terraform state."
  type        = string
  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,255}$", var.config_secret))
    error_message = "The secret's short name."
  }
}

variable "subnetwork" {
  description = "Name of the project's subnetwork in the zone's region; it needs Private Google Access or Cloud NAT, since the machine has no address of the internet."
  type        = string
  validation {
    condition     = can(regex("^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$", var.subnetwork))
    error_message = "The subnetwork's short name."
  }
}

variable "allowed_cidr_blocks" {
  description = "IPv4 ranges that may reach port 10333: pipelines, Prometheus, people. Nobody by default."
  type        = list(string)
  default     = []
  validation {
    condition     = alltrue([for block in var.allowed_cidr_blocks : can(cidrnetmask(block)) && !endswith(block, "/0")])
    error_message = "IPv4 ranges in CIDR form; the whole world (/0) is refused."
  }
}

variable "machine_type" {
  description = "Machine type; one with 1 GiB of memory or more."
  type        = string
  default     = "e2-small"
  validation {
    condition     = can(regex("^[a-z][a-z0-9]*-[a-z0-9-]+$", var.machine_type))
    error_message = "A machine type, such as e2-small."
  }
}

variable "disk_size_gb" {
  description = "Size of the disk of the store in GB."
  type        = number
  default     = 10
  validation {
    condition     = var.disk_size_gb >= 10 && var.disk_size_gb <= 65536
    error_message = "10 to 65536 GB."
  }
}
