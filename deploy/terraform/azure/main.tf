# One virtual machine with the exporter as its only container, the store on a managed disk.
# docs/clouds.md says what it may do, and why it is no Container App.
terraform {
  required_version = ">= 1.5"
  required_providers {
    azurerm = {
      source  = "hashicorp/azurerm"
      version = "~> 4.0"
    }
  }
}

provider "azurerm" {
  subscription_id = var.subscription_id
  features {}
}

locals {
  port = 10333
  lun  = 10
  settings = {
    AFDP_IMAGE       = var.image
    AFDP_DEVICE      = "/dev/disk/azure/scsi1/lun${local.lun}"
    AFDP_STORE       = "/mnt/afdp"
    AFDP_CONFIG_URL  = "https://${element(split("/", var.key_vault_id), 8)}.vault.azure.net/secrets/${var.config_secret}?api-version=7.4"
    AFDP_IDENTITY    = azurerm_user_assigned_identity.exporter.client_id
    AFDP_LOGIN_FIRST = var.container_registry_id != null
  }
  cloud_config = {
    packages = ["docker.io"]
    write_files = [
      { path = "/etc/afdp/run.sh", permissions = "0644", content = file("${path.module}/run.sh") },
      { path = "/etc/afdp/env", permissions = "0644", content = join("\n", [for key, value in local.settings : "${key}=${value}"]) },
      { path = "/etc/systemd/system/afdp-exporter.service", permissions = "0644", content = file("${path.module}/afdp-exporter.service") },
    ]
    runcmd = [["systemctl", "daemon-reload"], ["systemctl", "enable", "--now", "--no-block", "afdp-exporter.service"]]
  }
}

# --- What it may do
resource "azurerm_user_assigned_identity" "exporter" {
  name                = var.name
  resource_group_name = var.resource_group_name
  location            = var.location
}

resource "azurerm_role_assignment" "read_metrics" {
  scope                = var.monitored_scope
  role_definition_name = "Monitoring Reader"
  principal_id         = azurerm_user_assigned_identity.exporter.principal_id
}

resource "azurerm_role_assignment" "read_config" {
  scope                = "${var.key_vault_id}/secrets/${var.config_secret}"
  role_definition_name = "Key Vault Secrets User"
  principal_id         = azurerm_user_assigned_identity.exporter.principal_id
}

resource "azurerm_role_assignment" "pull" {
  count                = var.container_registry_id == null ? 0 : 1
  scope                = var.container_registry_id
  role_definition_name = "AcrPull"
  principal_id         = azurerm_user_assigned_identity.exporter.principal_id
}

# --- Who reaches it
resource "azurerm_network_security_group" "exporter" {
  name                = var.name
  resource_group_name = var.resource_group_name
  location            = var.location
}

resource "azurerm_network_security_rule" "callers" {
  count                       = length(var.allowed_cidr_blocks) > 0 ? 1 : 0
  name                        = "callers"
  resource_group_name         = var.resource_group_name
  network_security_group_name = azurerm_network_security_group.exporter.name
  priority                    = 1000
  direction                   = "Inbound"
  access                      = "Allow"
  protocol                    = "Tcp"
  source_address_prefixes     = var.allowed_cidr_blocks
  source_port_range           = "*"
  destination_address_prefix  = "*"
  destination_port_range      = tostring(local.port)
}

# Without this one Azure lets in the whole virtual network.
resource "azurerm_network_security_rule" "closed" {
  name                        = "closed"
  resource_group_name         = var.resource_group_name
  network_security_group_name = azurerm_network_security_group.exporter.name
  priority                    = 4000
  direction                   = "Inbound"
  access                      = "Deny"
  protocol                    = "*"
  source_address_prefix       = "*"
  source_port_range           = "*"
  destination_address_prefix  = "*"
  destination_port_range      = "*"
}

resource "azurerm_network_interface" "exporter" {
  name                = var.name
  resource_group_name = var.resource_group_name
  location            = var.location
  ip_configuration {
    name                          = "private"
    subnet_id                     = var.subnet_id
    private_ip_address_allocation = "Dynamic"
  }
}

resource "azurerm_network_interface_security_group_association" "exporter" {
  network_interface_id      = azurerm_network_interface.exporter.id
  network_security_group_id = azurerm_network_security_group.exporter.id
}

# --- The store and the machine
resource "azurerm_managed_disk" "store" {
  name                 = "${var.name}-store"
  resource_group_name  = var.resource_group_name
  location             = var.location
  storage_account_type = "StandardSSD_LRS"
  create_option        = "Empty"
  disk_size_gb         = var.disk_size_gb
  lifecycle {
    prevent_destroy = true
  }
}

# The machine tries until it is there.
resource "azurerm_virtual_machine_data_disk_attachment" "store" {
  managed_disk_id    = azurerm_managed_disk.store.id
  virtual_machine_id = azurerm_linux_virtual_machine.exporter.id
  lun                = local.lun
  caching            = "None"
}

resource "azurerm_linux_virtual_machine" "exporter" {
  name                  = var.name
  resource_group_name   = var.resource_group_name
  location              = var.location
  size                  = var.vm_size
  admin_username        = "afdp"
  network_interface_ids = [azurerm_network_interface.exporter.id]
  custom_data           = base64encode("#cloud-config\n${yamlencode(local.cloud_config)}")

  admin_ssh_key {
    username   = "afdp"
    public_key = var.ssh_public_key
  }
  identity {
    type         = "UserAssigned"
    identity_ids = [azurerm_user_assigned_identity.exporter.id]
  }
  os_disk {
    caching              = "ReadWrite"
    storage_account_type = "StandardSSD_LRS"
  }
  source_image_reference {
    publisher = "Canonical"
    offer     = "ubuntu-24_04-lts"
    sku       = "server"
    version   = "latest"
  }
  depends_on = [
    azurerm_network_interface_security_group_association.exporter,
    azurerm_role_assignment.read_config,
    azurerm_role_assignment.pull,
  ]
}
