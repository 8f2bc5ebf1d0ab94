output "url" {
  description = "Where the exporter is reached from within the VPC."
  value       = "http://${aws_service_discovery_service.exporter.name}.${aws_service_discovery_private_dns_namespace.exporter.name}:${local.port}"
}

output "task_role_name" {
  description = "Role of the exporter, for rights that a source, executor or receiver of yours needs beyond CloudWatch."
  value       = aws_iam_role.task.name
}

output "log_group" {
  description = "CloudWatch log group of the exporter."
  value       = aws_cloudwatch_log_group.exporter.name
}

output "file_system_id" {
  description = "EFS file system that holds the store."
  value       = aws_efs_file_system.store.id
}
