variable "subscription_id" {
  description = "Id of the subscription in which the exporter runs."
  type        = string
  validation {
    condition     = can(regex("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", var.subscription_id))
    error_message = "A subscription's id, in lower case."
  }
}

variable "resource_group_name" {
  description = "Resource group of the machine, its disk and its identity; it exists already."
  type        = string
  validation {
    condition     = can(regex("^[\\w.()-]{1,90}$", var.resource_group_name))
    error_message = "A resource group's name."
  }
}

variable "location" {
  description = "Region of the machine and its disk, such as westeurope."
  type        = string
  validation {
    condition     = can(regex("^[a-z0-9]+$", var.location))
    error_message = "A region's short name, such as westeurope."
  }
}

variable "name" {
  description = "Name of what is created."
  type        = string
  default     = "afdp-exporter"
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,50}[a-z0-9]$", var.name))
    error_message = "3 to 52 lower-case letters, digits and hyphens; a letter first."
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

variable "container_registry_id" {
  description = "Resource id of the Azure Container Registry that holds the image; null where it is pulled without a login."
  type        = string
  default     = null
  validation {
    condition     = var.container_registry_id == null || can(regex("/providers/Microsoft.ContainerRegistry/registries/[^/]+$", var.container_registry_id))
    error_message = "The resource id of one registry, or null."
  }
}

variable "key_vault_id" {
  description = "Resource id of the Key Vault, with access by roles, that holds afdp.yml."
  type        = string
  validation {
    condition     = can(regex("/providers/Microsoft.KeyVault/vaults/[^/]+$", var.key_vault_id))
    error_message = "The resource id of one Key Vault."
  }
}

variable "config_secret" {
  description = "Name of the secret in the Key Vault whose text is afdp.yml, made beforehand so that it is in no Terraform state."
  type        = string
  validation {
    condition     = can(regex("^[A-Za-z0-9-]{1,127}$", var.config_secret))
    error_message = "The secret's short name."
  }
}

variable "monitored_scope" {
  description = "Resource id of what the exporter may read metrics of: best a resource group, at most a subscription."
  type        = string
  validation {
    condition     = can(regex("^/subscriptions/[^/]+(/.+)?$", var.monitored_scope))
    error_message = "/subscriptions/ID, or something within it."
  }
}

variable "subnet_id" {
  description = "Resource id of the subnet; it needs a NAT gateway or another way out, since the machine has no address of the internet."
  type        = string
  validation {
    condition     = can(regex("/virtualNetworks/[^/]+/subnets/[^/]+$", var.subnet_id))
    error_message = "The resource id of one subnet."
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

variable "ssh_public_key" {
  description = "Public key of the machine's administrator, which Azure wants; the port of SSH stays closed."
  type        = string
  validation {
    condition     = can(regex("^(ssh-rsa|ssh-ed25519) [A-Za-z0-9+/=]+", var.ssh_public_key))
    error_message = "A public key: ssh-ed25519 ..., or ssh-rsa ..."
  }
}

variable "vm_size" {
  description = "Size of the machine; one with 1 GiB of memory or more, whose disks are SCSI (those of NVMe have other names)."
  type        = string
  default     = "Standard_B1ms"
  validation {
    condition     = startswith(var.vm_size, "Standard_")
    error_message = "A size, such as Standard_B1ms."
  }
}

variable "disk_size_gb" {
  description = "Size of the disk of the store in GB."
  type        = number
  default     = 8
  validation {
    condition     = var.disk_size_gb >= 4 && var.disk_size_gb <= 32767
    error_message = "4 to 32767 GB."
  }
}
