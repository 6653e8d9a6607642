# A group of build hosts whose end waits for their jobs. The agent, or aws/lifecycle-hook on the image, does the rest.

variable "image_id" { type = string } # with gitlab-runner and runner-registrar, sealed
variable "subnet_ids" { type = list(string) }
variable "instance_profile_role" { type = string } # the name of the instances' role

resource "aws_launch_template" "build" {
  name_prefix   = "build-"
  image_id      = var.image_id
  instance_type = "m7i.large"

  iam_instance_profile { name = aws_iam_instance_profile.build.name }
  metadata_options {
    http_tokens                 = "required" # IMDSv2
    http_put_response_hop_limit = 1          # 2 if the agent runs in a container without the host's network
  }
}

resource "aws_iam_instance_profile" "build" {
  name_prefix = "build-"
  role        = var.instance_profile_role
}

resource "aws_autoscaling_group" "build" {
  name_prefix         = "build-"
  min_size            = 0
  max_size            = 10
  vpc_zone_identifier = var.subnet_ids
  launch_template {
    id      = aws_launch_template.build.id
    version = "$Latest"
  }
}

resource "aws_autoscaling_lifecycle_hook" "runner_registrar" {
  name                   = "runner-registrar"
  autoscaling_group_name = aws_autoscaling_group.build.name
  lifecycle_transition   = "autoscaling:EC2_INSTANCE_TERMINATING"
  heartbeat_timeout      = 300        # renewed by heartbeats, a hundred times at most
  default_result         = "CONTINUE" # an instance that says nothing is gone
}

resource "aws_iam_role_policy" "runner_registrar" {
  name_prefix = "runner-registrar-"
  role        = var.instance_profile_role
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect   = "Allow"
        Action   = ["autoscaling:DescribeAutoScalingInstances", "autoscaling:DescribeLifecycleHooks"]
        Resource = "*" # these two know no narrower one
      },
      {
        Effect   = "Allow"
        Action   = ["autoscaling:RecordLifecycleActionHeartbeat", "autoscaling:CompleteLifecycleAction"]
        Resource = aws_autoscaling_group.build.arn
      },
    ]
  })
}
