variable "region" {
  description = "AWS region, such as eu-west-1; the source `cloudwatch` reads the region that its own block names."
  type        = string
  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "A region's code, such as eu-west-1."
  }
}

variable "name" {
  description = "Name of what is created, and the exporter's name within its private DNS namespace."
  type        = string
  default     = "afdp-exporter"
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}[a-z0-9]$", var.name))
    error_message = "3 to 32 lower-case letters, digits and hyphens; a letter first."
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

variable "image_repository_arn" {
  description = "ARN of the ECR repository that holds the image; null where it is pulled without a login."
  type        = string
  default     = null
  validation {
    condition     = var.image_repository_arn == null || can(regex("^arn:aws[a-z-]*:ecr:[^:]+:[0-9]{12}:repository/[^*]+$", var.image_repository_arn))
    error_message = "The ARN of one ECR repository, or null."
  }
}

variable "config_secret_arn" {
  description = "ARN of the Secrets Manager secret whose text is afdp.yml, made beforehand so that it is in no Terraform state."
  type        = string
  validation {
    condition     = can(regex("^arn:aws[a-z-]*:secretsmanager:[^:]+:[0-9]{12}:secret:[^*]+$", var.config_secret_arn))
    error_message = "The whole ARN of one secret."
  }
}

variable "vpc_id" {
  description = "VPC in which the exporter runs."
  type        = string
  validation {
    condition     = startswith(var.vpc_id, "vpc-")
    error_message = "The id of a VPC: vpc-..."
  }
}

variable "subnet_ids" {
  description = "Private subnets with a way out to AWS' API and the registry (NAT or VPC endpoints), one an availability zone."
  type        = list(string)
  validation {
    condition     = length(var.subnet_ids) > 0 && alltrue([for id in var.subnet_ids : startswith(id, "subnet-")])
    error_message = "At least one id of a subnet: subnet-..."
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

variable "cpu" {
  description = "CPU units of the task; 1024 are one core."
  type        = number
  default     = 512
  validation {
    condition     = contains([256, 512, 1024, 2048, 4096], var.cpu)
    error_message = "256, 512, 1024, 2048 or 4096."
  }
}

variable "memory" {
  description = "Memory of the task in MiB, in a combination with `cpu` that Fargate offers."
  type        = number
  default     = 1024
  validation {
    condition     = var.memory >= 1024 && var.memory <= 30720
    error_message = "1024 to 30720 MiB."
  }
}

variable "log_retention_days" {
  description = "Days for which the exporter's log is kept."
  type        = number
  default     = 30
  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731], var.log_retention_days)
    error_message = "A number of days that CloudWatch Logs offers, such as 30."
  }
}
