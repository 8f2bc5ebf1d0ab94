# One task of the exporter on ECS and Fargate, its store on EFS. docs/clouds.md says what it may do, and why it is so.
terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }
}

provider "aws" {
  region = var.region
}

locals {
  port = 10333
  user = 10333
}

# --- The store
resource "aws_efs_file_system" "store" {
  creation_token = var.name
  encrypted      = true
  tags           = { Name = var.name }
  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_efs_mount_target" "store" {
  for_each        = toset(var.subnet_ids)
  file_system_id  = aws_efs_file_system.store.id
  subnet_id       = each.value
  security_groups = [aws_security_group.store.id]
}

resource "aws_efs_access_point" "store" {
  file_system_id = aws_efs_file_system.store.id
  posix_user {
    uid = local.user
    gid = local.user
  }
  root_directory {
    path = "/afdp"
    creation_info {
      owner_uid   = local.user
      owner_gid   = local.user
      permissions = "0700"
    }
  }
}

# --- Who reaches whom
resource "aws_security_group" "task" {
  name_prefix = "${var.name}-"
  description = "The exporter"
  vpc_id      = var.vpc_id
}

resource "aws_security_group" "store" {
  name_prefix = "${var.name}-store-"
  description = "The store of the exporter"
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "callers" {
  for_each          = toset(var.allowed_cidr_blocks)
  security_group_id = aws_security_group.task.id
  description       = "Callers of the exporter"
  cidr_ipv4         = each.value
  ip_protocol       = "tcp"
  from_port         = local.port
  to_port           = local.port
}

resource "aws_vpc_security_group_ingress_rule" "store" {
  security_group_id            = aws_security_group.store.id
  description                  = "The task mounts the store"
  referenced_security_group_id = aws_security_group.task.id
  ip_protocol                  = "tcp"
  from_port                    = 2049
  to_port                      = 2049
}

resource "aws_vpc_security_group_egress_rule" "sources" {
  security_group_id = aws_security_group.task.id
  description       = "Sources and receivers, which listen on any port"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "-1"
}

# --- What it may do
data "aws_iam_policy_document" "tasks" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }
  }
}

# What the exporter itself may do. Neither action knows a resource: "*" is all that AWS takes.
data "aws_iam_policy_document" "read_metrics" {
  statement {
    actions   = ["cloudwatch:GetMetricData", "cloudwatch:ListMetrics"]
    resources = ["*"]
  }
}

# What ECS does before the exporter starts: fetch the image and afdp.yml, open the log.
data "aws_iam_policy_document" "start" {
  statement {
    actions   = ["secretsmanager:GetSecretValue"]
    resources = [var.config_secret_arn]
  }
  statement {
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.exporter.arn}:log-stream:*"]
  }
  dynamic "statement" {
    for_each = var.image_repository_arn == null ? [] : [var.image_repository_arn]
    content {
      actions   = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
      resources = [statement.value]
    }
  }
  # The login to ECR knows no resource either.
  dynamic "statement" {
    for_each = var.image_repository_arn == null ? [] : ["*"]
    content {
      actions   = ["ecr:GetAuthorizationToken"]
      resources = [statement.value]
    }
  }
}

resource "aws_iam_role" "task" {
  name_prefix        = "${var.name}-"
  assume_role_policy = data.aws_iam_policy_document.tasks.json
}

resource "aws_iam_role_policy" "task" {
  name   = "read-metrics"
  role   = aws_iam_role.task.id
  policy = data.aws_iam_policy_document.read_metrics.json
}

resource "aws_iam_role" "start" {
  name_prefix        = "${var.name}-"
  assume_role_policy = data.aws_iam_policy_document.tasks.json
}

resource "aws_iam_role_policy" "start" {
  name   = "start"
  role   = aws_iam_role.start.id
  policy = data.aws_iam_policy_document.start.json
}

# --- The task
resource "aws_cloudwatch_log_group" "exporter" {
  name              = "/ecs/${var.name}"
  retention_in_days = var.log_retention_days
}

resource "aws_ecs_cluster" "exporter" {
  name = var.name
}

resource "aws_ecs_task_definition" "exporter" {
  family                   = var.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.cpu
  memory                   = var.memory
  task_role_arn            = aws_iam_role.task.arn
  execution_role_arn       = aws_iam_role.start.arn

  volume {
    name = "store"
    efs_volume_configuration {
      file_system_id     = aws_efs_file_system.store.id
      transit_encryption = "ENABLED"
      authorization_config {
        access_point_id = aws_efs_access_point.store.id
      }
    }
  }

  # ECS hands secrets over in the environment only; the exporter reads a file.
  container_definitions = jsonencode([{
    name         = "exporter"
    image        = var.image
    essential    = true
    entryPoint   = ["/bin/sh", "-ec"]
    command      = ["umask 077; printf '%s\\n' \"$AFDP_YML\" > /tmp/afdp.yml; unset AFDP_YML; exec afdp serve"]
    environment  = [{ name = "AFDP_CONFIG_FILE", value = "/tmp/afdp.yml" }]
    secrets      = [{ name = "AFDP_YML", valueFrom = var.config_secret_arn }]
    portMappings = [{ containerPort = local.port, protocol = "tcp" }]
    mountPoints  = [{ sourceVolume = "store", containerPath = "/data", readOnly = false }]
    stopTimeout  = 20
    healthCheck = {
      command     = ["CMD", "python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:${local.port}/-/healthy', timeout=4)"]
      interval    = 15
      timeout     = 5
      retries     = 3
      startPeriod = 60
    }
    linuxParameters = { capabilities = { drop = ["ALL"] } }
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.exporter.name
        awslogs-region        = var.region
        awslogs-stream-prefix = "exporter"
      }
    }
  }])
}

# One process holds the store: none is started before the old one has ended.
resource "aws_ecs_service" "exporter" {
  name                               = var.name
  cluster                            = aws_ecs_cluster.exporter.id
  task_definition                    = aws_ecs_task_definition.exporter.arn
  launch_type                        = "FARGATE"
  platform_version                   = "1.4.0"
  desired_count                      = 1
  deployment_minimum_healthy_percent = 0
  deployment_maximum_percent         = 100

  network_configuration {
    subnets         = var.subnet_ids
    security_groups = [aws_security_group.task.id]
  }
  service_registries {
    registry_arn = aws_service_discovery_service.exporter.arn
  }
  depends_on = [aws_efs_mount_target.store, aws_iam_role_policy.start]
}

# --- Its name within the VPC
resource "aws_service_discovery_private_dns_namespace" "exporter" {
  name = "${var.name}.internal"
  vpc  = var.vpc_id
}

resource "aws_service_discovery_service" "exporter" {
  name = var.name
  dns_config {
    namespace_id = aws_service_discovery_private_dns_namespace.exporter.id
    dns_records {
      type = "A"
      ttl  = 10
    }
  }
}
