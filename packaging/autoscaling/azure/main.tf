# A scale set of build hosts that are told of their end a quarter of an hour before. The agent hears and acknowledges it
# itself; azure/scheduled-events is for those who set `termination = none`.

variable "resource_group_name" { type = string }
variable "location" { type = string }
variable "image_id" { type = string } # with gitlab-runner and runner-registrar, sealed
variable "subnet_id" { type = string }
variable "ssh_public_key" { type = string }

resource "azurerm_linux_virtual_machine_scale_set" "build" {
  name                = "build"
  resource_group_name = var.resource_group_name
  location            = var.location
  sku                 = "Standard_D4s_v5"
  instances           = 2
  source_image_id     = var.image_id
  admin_username      = "operator"

  priority        = "Spot"
  eviction_policy = "Delete"

  termination_notification {
    enabled = true
    timeout = "PT15M" # the longest there is
  }

  admin_ssh_key {
    username   = "operator"
    public_key = var.ssh_public_key
  }
  os_disk {
    storage_account_type = "Standard_LRS"
    caching              = "ReadWrite"
  }
  network_interface {
    name    = "build"
    primary = true
    ip_configuration {
      name      = "build"
      primary   = true
      subnet_id = var.subnet_id
    }
  }
}
