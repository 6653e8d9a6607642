# A group of build hosts on preemptible machines. The agent hears of preemption and maintenance itself; the shutdown
# script is for those who set `termination = none`.

variable "image" { type = string } # with gitlab-runner and runner-registrar, sealed
variable "zone" { type = string }
variable "script" {
  type    = bool
  default = false
}

resource "google_compute_instance_template" "build" {
  name_prefix  = "build-"
  machine_type = "e2-standard-4"

  disk {
    source_image = var.image
    auto_delete  = true
    boot         = true
  }
  network_interface { network = "default" }
  scheduling {
    provisioning_model          = "SPOT"
    preemptible                 = true
    automatic_restart           = false
    instance_termination_action = "DELETE"
  }
  metadata = var.script ? { "shutdown-script" = file("${path.module}/shutdown-script") } : {}

  lifecycle { create_before_destroy = true }
}

resource "google_compute_instance_group_manager" "build" {
  name               = "build"
  base_instance_name = "build"
  zone               = var.zone
  target_size        = 2
  version { instance_template = google_compute_instance_template.build.self_link_unique }
}
